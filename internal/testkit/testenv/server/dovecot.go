package server

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// dovecotPackages are Debian's.
var dovecotPackages = []string{"dovecot-imapd", "dovecot-lmtpd", "dovecot-sieve", "dovecot-managesieved"}

// FindDovecot returns the path of Dovecot's program, which it installs from Debian's packages if it may.
func FindDovecot(ctx context.Context) (string, error) {
	const program = "/usr/sbin/dovecot"
	complete := func() bool {
		for _, needed := range []string{program, "/usr/lib/dovecot/imap", "/usr/lib/dovecot/lmtp", "/usr/lib/dovecot/managesieve"} {
			if _, err := os.Stat(needed); err != nil {
				return false
			}
		}
		return true
	}
	if complete() {
		return program, nil
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("dovecot is not installed (Debian's packages are %s)", strings.Join(dovecotPackages, ", "))
	}
	// Its start as a service is refused: tests start servers of their own.
	install := "DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends " + strings.Join(dovecotPackages, " ")
	if err := download(ctx, "dovecot", "sh", "-c", install); err != nil {
		return "", err
	}
	if !complete() {
		return "", errors.New("the packages of dovecot have no " + program)
	}
	return program, nil
}

// DovecotConfig has the settings of a Dovecot.
type DovecotConfig struct {
	Program string            // dovecot
	Users   map[string]string // their passwords, by name
	Extra   string            // added to the configuration
}

// Dovecot is a mail server with a directory of its own: IMAP with TLS and STARTTLS, LMTP and ManageSieve.
type Dovecot struct {
	config DovecotConfig
	dir    string
	ports  []int // IMAP with STARTTLS, IMAP over TLS, LMTP, ManageSieve
	ca     []byte

	mu      sync.Mutex
	process *process
}

// NewDovecot makes the directory and starts the server.
func NewDovecot(ctx context.Context, config DovecotConfig) (*Dovecot, error) {
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	dir, err := newDir("", "dovecot")
	if err != nil {
		return nil, err
	}
	d := &Dovecot{config: config, dir: dir, ports: ports}
	if err := d.initialise(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := d.Start(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// nobody is the user that all of it runs as when we are root.
const nobody = 65534

// dovecotSettings has the directory as %[1]s, the user as %[2]s and the ports.
const dovecotSettings = `
base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = %[1]s/log
protocols = imap lmtp sieve
listen = 127.0.0.1
default_internal_user = %[2]s
default_internal_group = %[3]s
default_login_user = %[2]s
default_process_limit = 4000
default_client_limit = 20000
default_vsz_limit = 0
first_valid_uid = 1
auth_failure_delay = 0s
mail_max_userip_connections = 0
mail_fsync = never
mailbox_list_index = yes
imap_hibernate_timeout = 5s
ssl = yes
ssl_cert = <%[1]s/cert.pem
ssl_key = <%[1]s/key.pem
mail_home = %[1]s/homes/%%u
mail_location = maildir:~/box
passdb {
  driver = passwd-file
  args = scheme=PLAIN %[1]s/users
}
userdb {
  driver = static
  args = uid=%[4]d gid=%[5]d home=%[1]s/homes/%%u allow_all_users=yes
}
namespace inbox {
  inbox = yes
  separator = /
  mailbox Archive {
    auto = subscribe
    special_use = \Archive
  }
  mailbox Sent {
    auto = subscribe
    special_use = \Sent
  }
  mailbox Drafts {
    auto = subscribe
    special_use = \Drafts
  }
  mailbox Junk {
    auto = subscribe
    special_use = \Junk
  }
  mailbox Trash {
    auto = subscribe
    special_use = \Trash
  }
}
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  chroot =
}
service imap-login {
  chroot =
  service_count = 0
  inet_listener imap {
    port = %[6]d
  }
  inet_listener imaps {
    port = %[7]d
    ssl = yes
  }
}
service lmtp {
  inet_listener lmtp {
    port = %[8]d
  }
}
service managesieve-login {
  chroot =
  inet_listener sieve {
    port = %[9]d
  }
}
service imap-hibernate {
  unix_listener imap-hibernate {
    mode = 0666
  }
}
service imap {
  unix_listener imap-master {
    mode = 0666
  }
  process_limit = 4000
}
protocol imap {
  mail_max_userip_connections = 0
}
protocol lmtp {
  mail_plugins = sieve
}
plugin {
  sieve = file:~/sieve;active=~/.dovecot.sieve
}
`

func (d *Dovecot) initialise() error {
	uid, gid, user, group := os.Getuid(), os.Getgid(), "nobody", "nogroup"
	if os.Geteuid() == 0 {
		uid, gid = nobody, nobody
	} else {
		user, group = strconv.Itoa(uid), strconv.Itoa(gid)
	}
	settings := fmt.Sprintf(dovecotSettings, d.dir, user, group, uid, gid, d.ports[0], d.ports[1], d.ports[2], d.ports[3]) + d.config.Extra
	var users strings.Builder
	for name, password := range d.config.Users {
		fmt.Fprintf(&users, "%s:%s\n", name, password)
	}
	cert, key, err := selfSigned("127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	d.ca = cert
	for name, text := range map[string][]byte{"dovecot.conf": []byte(settings), "users": []byte(users.String()), "cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(d.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	for _, name := range []string{"run", "homes"} {
		if err := os.Mkdir(filepath.Join(d.dir, name), 0o755); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(d.dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nobody))
	})
}

// Start starts the stopped or killed server and waits until every port has greeted.
func (d *Dovecot) Start(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	command := exec.Command(d.config.Program, "-F", "-c", filepath.Join(d.dir, "dovecot.conf"))
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: false}
	}
	started, err := start(command, syscall.SIGTERM)
	if err != nil {
		return fmt.Errorf("start Dovecot: %w", err)
	}
	d.process = started
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := started.await(ctx, d.greets); err != nil {
		return fmt.Errorf("start Dovecot: %w\n%s", err, tail(filepath.Join(d.dir, "log")))
	}
	return nil
}

func (d *Dovecot) greets(ctx context.Context) error {
	for _, i := range []int{0, 2, 3} { // the second speaks TLS first, and is the same service
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", d.addr(i))
		if err != nil {
			return err
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, err = bufio.NewReader(conn).ReadString('\n')
		if err := errors.Join(err, conn.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dovecot) addr(i int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.ports[i])) }

// Port returns the port of IMAP with STARTTLS, TLSPort that of IMAP over TLS; they are the same across restarts.
func (d *Dovecot) Port() int { return d.ports[0] }

// TLSPort is the port of IMAP over TLS.
func (d *Dovecot) TLSPort() int { return d.ports[1] }

// LMTP returns host:port where mail is delivered.
func (d *Dovecot) LMTP() string { return d.addr(2) }

// Sieve returns host:port of ManageSieve.
func (d *Dovecot) Sieve() string { return d.addr(3) }

// CA returns the certificate to trust, as PEM.
func (d *Dovecot) CA() []byte { return d.ca }

// Certificate returns the server's certificate with its key.
func (d *Dovecot) Certificate() (tls.Certificate, error) {
	return tls.LoadX509KeyPair(filepath.Join(d.dir, "cert.pem"), filepath.Join(d.dir, "key.pem"))
}

// Home returns the directory of a user's mail, a Maildir in "box".
func (d *Dovecot) Home(user string) string { return filepath.Join(d.dir, "homes", user) }

// Own makes what a test wrote into a user's home the server's.
func (d *Dovecot) Own(user string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(d.Home(user), func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nobody))
	})
}

// Log returns the end of the log.
func (d *Dovecot) Log() string { return tail(filepath.Join(d.dir, "log")) }

// PID returns the master's process id, 0 while it is down.
func (d *Dovecot) PID() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.process.pid()
}

// Kill kills the server and all of its processes.
func (d *Dovecot) Kill() error { return d.signal(syscall.SIGKILL) }

// Pause stops all processes: connections stay open, without responses, until Continue.
func (d *Dovecot) Pause() error { return d.signal(syscall.SIGSTOP) }

// Continue resumes a paused server.
func (d *Dovecot) Continue() error { return d.signal(syscall.SIGCONT) }

// signal reaches all processes of the server's group.
func (d *Dovecot) signal(signal syscall.Signal) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.process.running() {
		return nil
	}
	if err := syscall.Kill(-d.process.Command.Process.Pid, signal); err != nil {
		return fmt.Errorf("send %s to Dovecot: %w", signal, err)
	}
	if signal == syscall.SIGKILL {
		<-d.process.Done
	}
	return nil
}

// Close ends the server and removes its directory.
func (d *Dovecot) Close() error {
	return errors.Join(d.Kill(), os.RemoveAll(d.dir))
}

// selfSigned makes a certificate for names and addresses, which is its own authority, and its key.
func selfSigned(names ...string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ApplyLens tests"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, nil, err
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}), nil
}
