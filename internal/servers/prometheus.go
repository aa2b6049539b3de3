package servers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Prometheus is a running Prometheus server. Its methods are safe for concurrent use.
type Prometheus struct {
	// URL is where its HTTP API answers, without a slash at the end.
	URL string

	*Process
}

// StartPrometheus starts a server that keeps its files in dir, and asks a target, as host:port, for /metrics once a second. A program that
// is not installed is ErrMissing.
func StartPrometheus(dir, target string) (*Prometheus, error) {
	path, err := program("prometheus", "install prometheus, version 2.40 or later", "/usr/local/bin/prometheus")
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		p, err := startPrometheus(path, dir, target)
		if err == nil || attempt == 3 { // the port may have been taken between the choice and the start
			return p, err
		}
	}
}

// startPrometheus makes one attempt on a port that is free now. The program at path gets its configuration in a file.
func startPrometheus(path, dir, target string) (*Prometheus, error) {
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n  - job_name: bedrockguard\n    static_configs: [{targets: [%q]}]\n", target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("servers: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	at := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	process, err := start(dir, exec.Command(path, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+at))
	if err != nil {
		return nil, err
	}
	p := &Prometheus{URL: "http://" + at, Process: process}
	return p, process.await(p.answers)
}

// answers returns nil if the server says that it is ready.
func (p *Prometheus) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/-/ready", http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it says %s", resp.Status)
	}
	return nil
}
