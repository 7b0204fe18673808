package config

import (
	"strings"
	"testing"
)

func TestDatabase(t *testing.T) {
	isolate(t)
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"none", nil, ""},
		{"url", []string{"--database-url=postgres://u:p@h/d?sslmode=require"}, "postgres://u:p@h/d?sslmode=require"},
		{"parts", []string{"--db-host=db.example", "--db-user=ann", "--db-password=p@ss:/word", "--db-name=costs", "--db-port=6000"}, "postgres://ann:p%40ss%3A%2Fword@db.example:6000/costs"},
		{"host alone", []string{"--db-host=::1"}, "postgres://[::1]:5432/costprof"},
		{"url before parts", []string{"--database-url=postgresql://h/d", "--db-host=other", "--db-password=x", "--db-user=y"}, "postgresql://h/d"},
	} {
		got, err := Load(c.args)
		if err != nil || got.Database() != c.want {
			t.Errorf("%s: %v, %v; want %s", c.name, got, err, c.want)
		}
	}
	const secret = "s3cr3t-4711"
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"other scheme", []string{"--database-url=mysql://u:" + secret + "@h/d"}, "DATABASE_URL"},
		{"replica alone", []string{"--database-read-url=postgres://u:" + secret + "@h/d"}, "DATABASE_READ_URL"},
		{"password alone", []string{"--db-password=" + secret}, "DB_PASSWORD"},
		{"password without user", []string{"--db-host=h", "--db-password=" + secret}, "DB_USER"},
		{"port", []string{"--db-host=h", "--db-port=70000"}, "DB_PORT"},
		{"too few connections", []string{"--database-connections=3"}, "DATABASE_CONNECTIONS"},
		{"timeout", []string{"--database-statement-timeout=0s"}, "DATABASE_STATEMENT_TIMEOUT"},
	} {
		_, err := Load(c.args)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want one about %s without its value", c.name, err, c.want)
		}
	}
}
