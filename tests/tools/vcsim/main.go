// Command vcsim is the lab's vCenter: govmomi's simulator with what a lab needs and the simulator
// lacks.
//
//   - A password that is checked, and a certificate of the lab's own authority.
//   - Power that happens: a power task asks the lab's hypervisor (hypervisor.go, power.go) and
//     succeeds, fails or waits as that does.
//   - Outages: hosts that stop responding, slow calls, power that changes behind vCenter's back
//     (control.go).
//
// It is started and stopped by operator/standfast/lab/vcenter.py and knows nothing of Standfast.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/vmware/govmomi/simulator"
)

type settings struct {
	listen            string
	certificate       string
	key               string
	user              string
	passwordFile      string
	inventory         string
	hypervisor        string
	hypervisorTimeout time.Duration
	control           string
}

func main() {
	var s settings
	flag.StringVar(&s.listen, "listen", "127.0.0.1:0", "address and port of the API")
	flag.StringVar(&s.certificate, "cert", "", "server certificate, PEM")
	flag.StringVar(&s.key, "key", "", "its key, PEM")
	flag.StringVar(&s.user, "user", "", "the one user that may log in")
	flag.StringVar(&s.passwordFile, "password-file", "", "file that holds that user's password")
	flag.StringVar(&s.inventory, "inventory", "", "JSON file: hosts and VMs")
	flag.StringVar(&s.hypervisor, "hypervisor", "", "unix socket that takes power orders")
	flag.DurationVar(&s.hypervisorTimeout, "hypervisor-timeout", 30*time.Second,
		"a power order without an answer fails its task after this long")
	flag.StringVar(&s.control, "control", "", "unix socket on which the lab gives its orders")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, stop, s); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, stop func(), s settings) error {
	pair, err := tls.LoadX509KeyPair(s.certificate, s.key)
	if err != nil {
		return err
	}
	password, err := os.ReadFile(s.passwordFile)
	if err != nil {
		return err
	}
	plan, err := readInventory(s.inventory)
	if err != nil {
		return err
	}

	model := simulator.VPX()
	model.Datacenter, model.Cluster, model.Host, model.Machine = 0, 0, 0, 0
	if err := model.Create(); err != nil {
		return err
	}
	defer model.Remove()
	esx := newHypervisor(s.hypervisor, s.hypervisorTimeout)
	vms, hosts, remove, err := build(ctx, model.Service, plan, esx)
	if err != nil {
		return fmt.Errorf("inventory %s: %w", s.inventory, err)
	}
	defer remove()

	model.Service.Listen = &url.URL{
		Host: s.listen,
		User: url.UserPassword(s.user, strings.TrimSpace(string(password))),
	}
	model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server := model.Service.NewServer()

	c := &control{vms: vms, hosts: hosts, delay: &model.DelayConfig, stop: stop}
	lab, err := c.serve(s.control)
	if err != nil {
		return err
	}
	log.Printf("Serving %s hosts=%d vms=%d", server.Listener.Addr(), len(hosts), len(vms))
	<-ctx.Done()

	// No farewell to clients: a vCenter that stops drops its connections.
	server.CloseClientConnections()
	if err := lab.Close(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
