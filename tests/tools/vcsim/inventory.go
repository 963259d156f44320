package main

// The inventory: one datacenter, one cluster, the hosts and VMs that a JSON file names.

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

const datastore = "shared"

type inventory struct {
	Datacenter string   `json:"datacenter"`
	Cluster    string   `json:"cluster"`
	Hosts      []string `json:"hosts"`
	VMs        []struct {
		Name         string `json:"name"`
		InstanceUUID string `json:"instanceUuid"`
		BiosUUID     string `json:"biosUuid"`
		Host         string `json:"host"`
	} `json:"vms"`
	Disks []labDisk `json:"disks"`
}

func readInventory(path string) (*inventory, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	plan := &inventory{}
	if err := json.Unmarshal(text, plan); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return plan, nil
}

// build makes the inventory. VMs are created powered off and then shown as the hypervisor has them:
// a vCenter that starts finds VMs running. The returned function removes the datastore's directory.
func build(
	ctx context.Context, service *simulator.Service, plan *inventory, esx *hypervisor,
) (map[string]*labVM, map[string]*labHost, func(), error) {
	none := func() {}
	client, err := vim25.NewClient(ctx, service)
	if err != nil {
		return nil, nil, none, err
	}
	dc, err := object.NewRootFolder(client).CreateDatacenter(ctx, plan.Datacenter)
	if err != nil {
		return nil, nil, none, err
	}
	folders, err := dc.Folders(ctx)
	if err != nil {
		return nil, nil, none, err
	}
	cluster, err := folders.HostFolder.CreateCluster(ctx, plan.Cluster, types.ClusterConfigSpecEx{})
	if err != nil {
		return nil, nil, none, err
	}
	dir, err := os.MkdirTemp("", "vcsim-datastore-")
	if err != nil {
		return nil, nil, none, err
	}
	remove := func() { _ = os.RemoveAll(dir) }

	hosts := map[string]*labHost{}
	for _, name := range plan.Hosts {
		host, err := addHost(ctx, client, cluster, name, dir)
		if err != nil {
			return nil, nil, remove, fmt.Errorf("host %s: %w", name, err)
		}
		hosts[name] = host
	}
	pool, err := cluster.ResourcePool(ctx)
	if err != nil {
		return nil, nil, remove, err
	}
	for _, disk := range plan.Disks {
		if err := disk.valid(); err != nil {
			return nil, nil, remove, err
		}
	}
	shared := newDisks(esx, plan.Disks)
	running := esx.running(ctx)
	vms := map[string]*labVM{}
	for _, v := range plan.VMs {
		host, ok := hosts[v.Host]
		if !ok {
			return nil, nil, remove, fmt.Errorf("VM %s is on host %q, which is not listed", v.Name, v.Host)
		}
		task, err := folders.VmFolder.CreateVM(ctx, types.VirtualMachineConfigSpec{
			Name:         v.Name,
			InstanceUuid: v.InstanceUUID,
			Uuid:         v.BiosUUID,
			GuestId:      string(types.VirtualMachineGuestOsIdentifierDebian10_64Guest),
			Files:        &types.VirtualMachineFileInfo{VmPathName: "[" + datastore + "]"},
		}, pool, object.NewHostSystem(client, host.ref))
		if err != nil {
			return nil, nil, remove, err
		}
		info, err := task.WaitForResult(ctx, nil)
		if err != nil {
			return nil, nil, remove, fmt.Errorf("VM %s: %w", v.Name, err)
		}
		vm := adopt(info.Result.(types.ManagedObjectReference), v.Name, host, esx)
		vm.disks = shared
		vm.show(powerStates[running[v.Name]])
		vms[v.Name] = vm
	}
	shared.adopt(vms, esx.attached(ctx))
	return vms, hosts, remove, nil
}

func addHost(
	ctx context.Context, client *vim25.Client, cluster *object.ClusterComputeResource, name, dir string,
) (*labHost, error) {
	task, err := cluster.AddHost(ctx, types.HostConnectSpec{HostName: name}, true, nil, nil)
	if err != nil {
		return nil, err
	}
	info, err := task.WaitForResult(ctx, nil)
	if err != nil {
		return nil, err
	}
	host := object.NewHostSystem(client, info.Result.(types.ManagedObjectReference))
	store, err := host.ConfigManager().DatastoreSystem(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := store.CreateLocalDatastore(ctx, datastore, dir); err != nil {
		return nil, err
	}
	return &labHost{ref: host.Reference(), connected: true}, nil
}
