// The lab's vCenter: govmomi's simulator with a password, power that really happens, and outages.
// A module of its own: 0.24.2 is pinned because newer simulators start 35-50 times slower.
module standfast.dev/tests/tools/vcsim

go 1.26.0

require github.com/vmware/govmomi v0.24.2

require github.com/google/uuid v0.0.0-20170306145142-6a5e28554805 // indirect
