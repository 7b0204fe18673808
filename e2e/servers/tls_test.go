package servers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/testserver"
)

// certificate writes a certificate for 127.0.0.1 that signs itself, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	signed, err := x509.CreateCertificate(rand.Reader, about, about, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	return write("cert.pem", "CERTIFICATE", signed), write("key.pem", "PRIVATE KEY", private)
}

// A Redis that speaks TLS alone and wants a password: a server that trusts its
// certificate uses it; one that does not says so, without the password, and serves.
func TestRedisTLS(t *testing.T) {
	testserver.Redis(t)
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server is installed that the test could start")
	}
	const password = "p-of-the-cache"
	cert, key := certificate(t)
	redis := freeAddress(t)
	_, port, _ := net.SplitHostPort(redis)
	r := &process{t: t, bin: "redis-server", arg: []string{
		"--port", "0", "--tls-port", port, "--bind", "127.0.0.1", "--save", "", "--requirepass", password,
		"--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no",
	}}
	r.start()
	t.Cleanup(r.kill)
	w := &world{t: t, redis: r}
	for i, roots := range []string{cert, os.DevNull} {
		addr := freeAddress(t)
		w.urls[i] = "http://" + addr
		w.servers[i] = &process{t: t, bin: built, arg: []string{"serve"}, env: []string{
			"COSTPROF_DATA=" + t.TempDir(), "REDIS_URL=rediss://:" + password + "@" + redis, "COSTPROF_LISTEN=" + addr, "SSL_CERT_FILE=" + roots, "SSL_CERT_DIR=" + t.TempDir(),
		}}
		w.servers[i].start()
		t.Cleanup(w.servers[i].kill)
	}
	w.cache(0, "ok")
	w.cache(1, "degraded")
	for i, s := range w.servers {
		if status := post(t.Context(), w.urls[i], batch(1)); status != http.StatusAccepted {
			t.Errorf("server %d: %d", i, status)
		}
		s.kill()
		if strings.Contains(s.log.String(), password) {
			t.Errorf("the password is in the log of server %d", i)
		}
	}
	if !strings.Contains(w.servers[1].log.String(), "certificate") {
		t.Errorf("the log does not say that the certificate is not trusted:\n%s", w.servers[1].log.String())
	}
}
