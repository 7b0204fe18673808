package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker for a release: -X …/internal/cli.version=1.2.3.
var version string

// buildVersion is the release, else what the Go tool recorded.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-modified"
		}
	}
	if revision == "" {
		return "development"
	}
	return "development-" + revision + dirty
}

type versionCmd struct{}

func (*versionCmd) Run(s *session) error {
	if s.root.JSON {
		return s.writeValue(map[string]string{"version": buildVersion(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
	}
	fmt.Fprintf(s.out, "costprof %s (%s, %s/%s)\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
