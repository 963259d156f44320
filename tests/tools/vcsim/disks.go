package main

// Disks that move: attached to a VM and detached from it by ReconfigVM_Task, one VM at a time.
//
// Rules. The inventory names the disks; the simulator's own disks are none of them. As on a real
// host, a running VM has its disk for itself: attaching it to another one fails with FileLocked,
// and a host that does not respond takes no orders. The lab's hypervisor makes the device appear in
// the VM, or disappear, before the task succeeds. A restarted vCenter finds disks where they are.

import (
	"fmt"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type labDisk struct {
	Path string `json:"path"`
	UUID string `json:"uuid"`
}

// disks is the lock of the datastore: who has which disk.
type disks struct {
	esx *hypervisor

	mu    sync.Mutex
	known map[string]labDisk // by path
	owner map[string]*labVM  // by path
}

func newDisks(esx *hypervisor, plan []labDisk) *disks {
	d := &disks{esx: esx, known: map[string]labDisk{}, owner: map[string]*labVM{}}
	for _, disk := range plan {
		d.known[disk.Path] = disk
	}
	return d
}

// adopt shows disks where the hypervisor has them.
func (d *disks) adopt(vms map[string]*labVM, attached map[string]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, disk := range d.known {
		if vm, ok := vms[attached[disk.UUID]]; ok {
			d.owner[path] = vm
			vm.plug(disk)
		}
	}
}

// attach is called from a task; it neither holds the VM's lock nor the simulator's.
func (d *disks) attach(vm *labVM, path string) types.BaseMethodFault {
	d.mu.Lock()
	defer d.mu.Unlock()
	disk := d.known[path]
	if owner := d.owner[path]; owner != nil && owner != vm {
		return &types.FileLocked{FileFault: types.FileFault{File: path}}
	}
	if err := d.esx.disk(vm.name, disk.UUID, "attach"); err != nil {
		return &types.GenericVmConfigFault{Reason: fmt.Sprintf("host: %v", err)}
	}
	d.owner[path] = vm
	vm.plug(disk)
	return nil
}

func (d *disks) detach(vm *labVM, path string) types.BaseMethodFault {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owner[path] != vm {
		return &types.InvalidDeviceSpec{}
	}
	if err := d.esx.disk(vm.name, d.known[path].UUID, "detach"); err != nil {
		return &types.GenericVmConfigFault{Reason: fmt.Sprintf("host: %v", err)}
	}
	delete(d.owner, path)
	vm.unplug(path)
	return nil
}

func (vm *labVM) plug(disk labDisk) {
	simulator.Map.WithLock(vm, func() {
		devices := vm.Config.Hardware.Device
		key := int32(2000)
		for _, device := range devices {
			if device.GetVirtualDevice().Key >= key {
				key = device.GetVirtualDevice().Key + 1
			}
		}
		unit := int32(0)
		devices = append(devices, &types.VirtualDisk{VirtualDevice: types.VirtualDevice{
			Key: key, ControllerKey: 1000, UnitNumber: &unit,
			Backing: &types.VirtualDiskFlatVer2BackingInfo{
				VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: disk.Path},
				DiskMode:                     string(types.VirtualDiskModeIndependent_persistent),
				Uuid:                         disk.UUID,
			},
		}})
		vm.setDevices(devices)
	})
}

func (vm *labVM) unplug(path string) {
	simulator.Map.WithLock(vm, func() {
		left := []types.BaseVirtualDevice{}
		for _, device := range vm.Config.Hardware.Device {
			if fileOf(device) != path {
				left = append(left, device)
			}
		}
		vm.setDevices(left)
	})
}

func (vm *labVM) setDevices(devices []types.BaseVirtualDevice) {
	simulator.Map.Update(vm, []types.PropertyChange{{Name: "config.hardware.device", Val: devices}})
}

func fileOf(device types.BaseVirtualDevice) string {
	if disk, ok := device.(*types.VirtualDisk); ok {
		if backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
			return backing.FileName
		}
	}
	return ""
}

// ReconfigVMTask obeys changes of the lab's disks; every other change is the simulator's.
func (vm *labVM) ReconfigVMTask(ctx *simulator.Context, r *types.ReconfigVM_Task) soap.HasFault {
	type change struct {
		operation types.VirtualDeviceConfigSpecOperation
		path      string
	}
	var changes []change
	for _, each := range r.Spec.DeviceChange {
		spec := each.GetVirtualDeviceConfigSpec()
		if path := fileOf(spec.Device); path != "" && vm.disks.known[path].Path != "" {
			changes = append(changes, change{spec.Operation, path})
		}
	}
	if len(changes) == 0 {
		return vm.VirtualMachine.ReconfigVMTask(ctx, r)
	}
	task := simulator.CreateTask(vm.Reference(), "reconfigVm",
		func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
			if !vm.on().responds() {
				return nil, &types.HostNotConnected{}
			}
			for _, each := range changes {
				obey := vm.disks.attach
				if each.operation == types.VirtualDeviceConfigSpecOperationRemove {
					obey = vm.disks.detach
				}
				if fault := obey(vm, each.path); fault != nil {
					return nil, fault
				}
			}
			return nil, nil
		})
	go task.Run()
	return &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{Returnval: task.Self}}
}

// valid says what is wrong with a disk of the inventory.
func (d labDisk) valid() error {
	if !strings.HasPrefix(d.Path, "["+datastore+"] ") || d.UUID == "" {
		return fmt.Errorf("disk %q is not in [%s], or has no UUID", d.Path, datastore)
	}
	return nil
}
