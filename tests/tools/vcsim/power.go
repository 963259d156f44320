package main

// A VM whose power tasks reach the lab's hypervisor.
//
// Rules. A task runs in a goroutine of its own, so a slow hypervisor delays the task and neither the
// call nor reads of the VM. The shown state changes after the hypervisor's answer and before the
// task's success. A host that does not respond takes no orders, and what happens on it meanwhile is
// seen when it is back.

import (
	"fmt"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

var powerStates = map[string]types.VirtualMachinePowerState{
	"":          types.VirtualMachinePowerStatePoweredOff,
	"on":        types.VirtualMachinePowerStatePoweredOn,
	"off":       types.VirtualMachinePowerStatePoweredOff,
	"suspended": types.VirtualMachinePowerStateSuspended,
}

type labHost struct {
	ref types.ManagedObjectReference

	mu        sync.Mutex
	connected bool
}

func (h *labHost) responds() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.connected
}

// labVM embeds the simulator's VM by value: the property collector walks the first field and
// panics on a pointer.
type labVM struct {
	simulator.VirtualMachine

	name  string
	esx   *hypervisor
	disks *disks

	mu     sync.Mutex
	busy   *types.ManagedObjectReference   // the power task that runs
	host   *labHost                        // where it is
	unseen *types.VirtualMachinePowerState // changed while its host did not respond
	work   chan struct{}                   // closed to end the task that was begun by an order
}

// adopt puts a wrapper in the place of a VM that the simulator has made.
func adopt(ref types.ManagedObjectReference, name string, host *labHost, esx *hypervisor) *labVM {
	vm := &labVM{
		VirtualMachine: *simulator.Map.Get(ref).(*simulator.VirtualMachine),
		name:           name, host: host, esx: esx,
	}
	vm.Summary.Vm = &vm.Self
	simulator.Map.Put(vm)
	return vm
}

func (vm *labVM) on() *labHost {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	return vm.host
}

// show makes a power state visible, at once or when the VM's host responds again.
func (vm *labVM) show(state types.VirtualMachinePowerState) {
	if !vm.on().responds() {
		vm.mu.Lock()
		vm.unseen = &state
		vm.mu.Unlock()
		return
	}
	simulator.Map.WithLock(vm, func() {
		if vm.Runtime.PowerState == state {
			return
		}
		var boot types.AnyType
		if state == types.VirtualMachinePowerStatePoweredOn {
			boot = time.Now()
		}
		simulator.Map.Update(vm, []types.PropertyChange{
			{Name: "runtime.powerState", Val: state},
			{Name: "runtime.bootTime", Val: boot},
			{Name: "summary.runtime.powerState", Val: state},
			{Name: "summary.runtime.bootTime", Val: boot},
		})
	})
}

// connect shows the VM as its host is: gone from sight, or back with what happened meanwhile.
func (vm *labVM) connect(responds bool) {
	state := types.VirtualMachineConnectionStateDisconnected
	if responds {
		state = types.VirtualMachineConnectionStateConnected
	}
	simulator.Map.WithLock(vm, func() {
		simulator.Map.Update(vm, []types.PropertyChange{
			{Name: "runtime.connectionState", Val: state},
			{Name: "summary.runtime.connectionState", Val: state},
		})
	})
	if !responds {
		return
	}
	vm.mu.Lock()
	unseen := vm.unseen
	vm.unseen = nil
	vm.mu.Unlock()
	if unseen != nil {
		vm.show(*unseen)
	}
}

// move shows the VM on another host, as after a restart by vSphere HA.
func (vm *labVM) move(to *labHost) {
	vm.mu.Lock()
	vm.host, vm.unseen = to, nil
	vm.mu.Unlock()
	simulator.Map.WithLock(vm, func() {
		simulator.Map.Update(vm, []types.PropertyChange{
			{Name: "runtime.host", Val: to.ref},
			{Name: "summary.runtime.host", Val: to.ref},
		})
	})
	vm.connect(to.responds())
}

func (vm *labVM) shown() (state types.VirtualMachinePowerState) {
	simulator.Map.WithLock(vm, func() { state = vm.Runtime.PowerState })
	return state
}

// start begins a power task. The caller holds the VM's lock, the task does not.
func (vm *labVM) start(name, op string, after types.VirtualMachinePowerState) (types.ManagedObjectReference, *soap.Fault) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.busy != nil {
		return *vm.busy, simulator.Fault(
			"Another task is already in progress.", &types.TaskInProgress{Task: *vm.busy})
	}
	task := simulator.CreateTask(vm.Reference(), name, func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		defer func() {
			vm.mu.Lock()
			vm.busy = nil
			vm.mu.Unlock()
		}()
		return nil, vm.perform(op, after)
	})
	vm.busy = &task.Self
	go task.Run()
	return task.Self, nil
}

func (vm *labVM) perform(op string, after types.VirtualMachinePowerState) types.BaseMethodFault {
	host := vm.on()
	if !host.responds() {
		return &types.HostNotConnected{}
	}
	state := vm.shown()
	wrong := state == after
	switch op {
	case "reset":
		wrong = state != types.VirtualMachinePowerStatePoweredOn
	case "suspend":
		wrong = state != types.VirtualMachinePowerStatePoweredOn
	}
	if wrong {
		return &types.InvalidPowerState{RequestedState: after, ExistingState: state}
	}
	if err := vm.esx.power(vm.name, op); err != nil {
		return &types.GenericVmConfigFault{Reason: fmt.Sprintf("host: %v", err)}
	}
	if op == "reset" {
		vm.show(types.VirtualMachinePowerStatePoweredOff)
	}
	vm.show(after)
	if !host.responds() {
		return &types.HostNotConnected{} // it happened, and nobody can say so
	}
	return nil
}

func (vm *labVM) PowerOnVMTask(_ *simulator.Context, _ *types.PowerOnVM_Task) soap.HasFault {
	task, fault := vm.start("powerOn", "on", types.VirtualMachinePowerStatePoweredOn)
	if fault != nil {
		return &methods.PowerOnVM_TaskBody{Fault_: fault}
	}
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: task}}
}

func (vm *labVM) PowerOffVMTask(_ *simulator.Context, _ *types.PowerOffVM_Task) soap.HasFault {
	task, fault := vm.start("powerOff", "off", types.VirtualMachinePowerStatePoweredOff)
	if fault != nil {
		return &methods.PowerOffVM_TaskBody{Fault_: fault}
	}
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: task}}
}

func (vm *labVM) ResetVMTask(_ *simulator.Context, _ *types.ResetVM_Task) soap.HasFault {
	task, fault := vm.start("reset", "reset", types.VirtualMachinePowerStatePoweredOn)
	if fault != nil {
		return &methods.ResetVM_TaskBody{Fault_: fault}
	}
	return &methods.ResetVM_TaskBody{Res: &types.ResetVM_TaskResponse{Returnval: task}}
}

func (vm *labVM) SuspendVMTask(_ *simulator.Context, _ *types.SuspendVM_Task) soap.HasFault {
	task, fault := vm.start("suspend", "suspend", types.VirtualMachinePowerStateSuspended)
	if fault != nil {
		return &methods.SuspendVM_TaskBody{Fault_: fault}
	}
	return &methods.SuspendVM_TaskBody{Res: &types.SuspendVM_TaskResponse{Returnval: task}}
}

// ShutdownGuest needs VMware Tools in the guest, which the lab's VMs do not have.
func (vm *labVM) ShutdownGuest(_ *simulator.Context, _ *types.ShutdownGuest) soap.HasFault {
	return &methods.ShutdownGuestBody{
		Fault_: simulator.Fault("VMware Tools is not running.", &types.ToolsUnavailable{}),
	}
}
