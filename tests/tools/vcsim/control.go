package main

// The lab's orders: HTTP on a unix socket.
//
//	GET  /state                                            hosts and VMs as vCenter shows them
//	POST /host  {"name", "connection": "notResponding|connected"}   its VMs follow
//	POST /vm    {"name", "power": "on|off|suspended"}      changed behind vCenter's back
//	POST /vm    {"name", "host": "esx-2.lab"}              runs elsewhere now, as after vSphere HA
//	POST /task  {"name", "method": "createSnapshot"}       a task runs on the VM; "" ends it
//	POST /delay {"method": "PowerOffVM_Task", "ms": 1500}  that call is slow; "" is every call
//	POST /stop                                             the process ends

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

type control struct {
	vms   map[string]*labVM
	hosts map[string]*labHost
	delay *simulator.DelayConfig
	stop  func()

	mu sync.Mutex // one order at a time
}

type order struct {
	Name       string `json:"name"`
	Connection string `json:"connection"`
	Power      string `json:"power"`
	Host       string `json:"host"`
	Method     string `json:"method"`
	MS         int    `json:"ms"`
}

func (c *control) serve(socket string) (*http.Server, error) {
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", c.state)
	mux.HandleFunc("POST /host", c.order(c.host))
	mux.HandleFunc("POST /vm", c.order(c.vm))
	mux.HandleFunc("POST /task", c.order(c.task))
	mux.HandleFunc("POST /delay", c.order(c.slow))
	mux.HandleFunc("POST /stop", c.order(func(order) error { c.stop(); return nil }))
	server := &http.Server{Handler: mux}
	go func() { log.Print(server.Serve(listener)) }()
	return server, nil
}

func (c *control) order(obey func(order) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var o order
		if r.ContentLength != 0 {
			decoder := json.NewDecoder(r.Body)
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&o); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if err := obey(o); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func (c *control) host(o order) error {
	host, ok := c.hosts[o.Name]
	if !ok {
		return fmt.Errorf("no host %q; there are %v", o.Name, names(c.hosts))
	}
	connection := types.HostSystemConnectionState(o.Connection)
	power := types.HostSystemPowerStatePoweredOn
	switch connection {
	case types.HostSystemConnectionStateConnected:
	case types.HostSystemConnectionStateNotResponding:
		power = types.HostSystemPowerStateUnknown
	default:
		return fmt.Errorf("connection %q is neither connected nor notResponding", o.Connection)
	}
	responds := connection == types.HostSystemConnectionStateConnected
	host.mu.Lock()
	host.connected = responds
	host.mu.Unlock()
	system := simulator.Map.Get(host.ref)
	simulator.Map.WithLock(system, func() {
		simulator.Map.Update(system, []types.PropertyChange{
			{Name: "runtime.connectionState", Val: connection},
			{Name: "runtime.powerState", Val: power},
			{Name: "summary.runtime.connectionState", Val: connection},
			{Name: "summary.runtime.powerState", Val: power},
		})
	})
	for _, vm := range c.vms {
		if vm.on() == host {
			vm.connect(responds)
		}
	}
	return nil
}

func (c *control) vm(o order) error {
	vm, ok := c.vms[o.Name]
	if !ok {
		return fmt.Errorf("no VM %q; there are %v", o.Name, names(c.vms))
	}
	if o.Host != "" {
		host, ok := c.hosts[o.Host]
		if !ok {
			return fmt.Errorf("no host %q; there are %v", o.Host, names(c.hosts))
		}
		vm.move(host)
	}
	if o.Power != "" {
		state, ok := powerStates[o.Power]
		if !ok {
			return fmt.Errorf("power %q is none of on, off, suspended", o.Power)
		}
		vm.show(state)
	}
	return nil
}

func (c *control) task(o order) error {
	vm, ok := c.vms[o.Name]
	if !ok {
		return fmt.Errorf("no VM %q; there are %v", o.Name, names(c.vms))
	}
	if o.Method != "" {
		return vm.begin(o.Method)
	}
	vm.end()
	return nil
}

func (c *control) slow(o order) error {
	if o.MS < 0 {
		return fmt.Errorf("%d ms is less than nothing", o.MS)
	}
	if o.Method == "" {
		c.delay.Delay = o.MS
		return nil
	}
	// A new map each time: calls in flight read the old one without a lock.
	delays := map[string]int{o.Method: o.MS}
	for method, ms := range c.delay.MethodDelay {
		if method != o.Method {
			delays[method] = ms
		}
	}
	c.delay.MethodDelay = delays
	return nil
}

func (c *control) state(w http.ResponseWriter, _ *http.Request) {
	type shownVM struct {
		Power      types.VirtualMachinePowerState `json:"power"`
		Connection string                         `json:"connection"`
		Reference  string                         `json:"reference"`
	}
	hosts := map[string]string{}
	for name, host := range c.hosts {
		hosts[name] = "notResponding"
		if host.responds() {
			hosts[name] = "connected"
		}
	}
	vms := map[string]shownVM{}
	for name, vm := range c.vms {
		connection := "disconnected"
		if vm.on().responds() {
			connection = "connected"
		}
		vms[name] = shownVM{vm.shown(), connection, vm.Self.Value}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(map[string]any{"hosts": hosts, "vms": vms}); err != nil {
		log.Printf("State not sent: %v", err)
	}
}

func names[T any](of map[string]T) []string {
	list := make([]string, 0, len(of))
	for name := range of {
		list = append(list, name)
	}
	sort.Strings(list)
	return list
}
