package main

// A task of vCenter on a VM that lasts until it is ended: a snapshot, a migration. What it does to
// the VM is done by whoever gave the order.

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// begin shows a running task among the VM's recent ones; "createSnapshot" is one.
func (vm *labVM) begin(name string) error {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.work != nil {
		return fmt.Errorf("%s has a task already", vm.name)
	}
	ended := make(chan struct{})
	vm.work = ended
	task := simulator.CreateTask(vm.Reference(), name, func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		<-ended
		return nil, nil
	})
	go task.Run()
	simulator.Map.WithLock(vm, func() {
		simulator.Map.Update(vm, []types.PropertyChange{
			{Name: "recentTask", Val: []types.ManagedObjectReference{task.Self}},
		})
	})
	return nil
}

// end lets the task succeed; without one nothing happens.
func (vm *labVM) end() {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.work != nil {
		close(vm.work)
		vm.work = nil
	}
}
