package main

// The lab's hypervisor, seen from vCenter: HTTP over a unix socket.
//
//	POST /power {"vm": "vm-a", "op": "on|off|reset|suspend"}   done when 2xx is answered
//	GET  /power -> {"vm-a": "on|off|suspended"}                what runs now; unlisted is off
//	POST /disk {"vm": "vm-a", "disk": UUID, "op": "attach|detach"}
//	GET  /disk -> {UUID: "vm-a"}                               what is attached now

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

type hypervisor struct {
	socket string
	client *http.Client
}

func newHypervisor(socket string, timeout time.Duration) *hypervisor {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &hypervisor{
		socket: socket,
		client: &http.Client{
			Timeout:   timeout,
			Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
		},
	}
}

// power orders one operation and returns when it is done. An error says why it is not: then nobody
// knows whether it happened.
func (h *hypervisor) power(vm, op string) error {
	return h.order("power", map[string]string{"vm": vm, "op": op})
}

// disk orders a disk to be attached or detached; as `power`.
func (h *hypervisor) disk(vm, disk, op string) error {
	return h.order("disk", map[string]string{"vm": vm, "disk": disk, "op": op})
}

func (h *hypervisor) order(what string, order map[string]string) error {
	text, err := json.Marshal(order)
	if err != nil {
		return err
	}
	answer, err := h.client.Post("http://hypervisor/"+what, "application/json", bytes.NewReader(text))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(said)))
	}
	return nil
}

// running says what is powered on now. A hypervisor that cannot be asked runs nothing.
func (h *hypervisor) running(ctx context.Context) map[string]string {
	return h.ask(ctx, "power")
}

// attached says which VM has which disk, by the disk's UUID.
func (h *hypervisor) attached(ctx context.Context) map[string]string {
	return h.ask(ctx, "disk")
}

func (h *hypervisor) ask(ctx context.Context, what string) map[string]string {
	states := map[string]string{}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://hypervisor/"+what, nil)
	if err != nil {
		log.Printf("Hypervisor not asked: %v", err)
		return states
	}
	answer, err := h.client.Do(request)
	if err != nil {
		log.Printf("Hypervisor not asked: %v", err)
		return states
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		log.Printf("Hypervisor not asked: %s", answer.Status)
		return states
	}
	if err := json.NewDecoder(answer.Body).Decode(&states); err != nil {
		log.Printf("Hypervisor not asked: %v", err)
	}
	return states
}
