package deploy

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const image = "applylens:latest"

type composeFile struct {
	Services map[string]service `yaml:"services"`
	Volumes  map[string]any     `yaml:"volumes"`
}

type service struct {
	Image       string            `yaml:"image"`
	Command     []string          `yaml:"command"`
	Profiles    []string          `yaml:"profiles"`
	Environment map[string]string `yaml:"environment"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	Healthcheck map[string]any    `yaml:"healthcheck"`
	DependsOn   map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	var file composeFile
	unmarshal(t, filepath.Join("..", "docker-compose.yml"), &file)
	return file
}

func unmarshal(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestCommandsExist asks the program itself whether it knows each command, its flags and its environment variables.
func TestCommandsExist(t *testing.T) {
	program := filepath.Join(t.TempDir(), "applylens")
	if output, err := exec.Command("go", "build", "-o", program, "../cmd/applylens").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	for name, service := range readCompose(t).Services {
		if service.Image != image {
			continue
		}
		t.Run(name, func(t *testing.T) {
			command := exec.Command(program, append(slices.Clone(service.Command), "--help")...)
			output, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("applylens %s: %v\n%s", strings.Join(service.Command, " "), err, output)
			}
			for variable := range service.Environment {
				if !regexp.MustCompile(`\$` + variable + `\b`).Match(output) {
					t.Errorf("applylens %s does not know the variable %s", strings.Join(service.Command, " "), variable)
				}
			}
		})
	}
}

func TestEveryGroupHasAService(t *testing.T) {
	services := readCompose(t).Services
	for _, group := range []string{"weights", "policystats", "mailbox", "enrichment"} {
		if got := services[group].Command; !slices.Equal(got, []string{"consume", group}) {
			t.Errorf("service %s runs %q", group, got)
		}
	}
	for _, name := range []string{"migrate", "topics", "api", "relay", "sync", "index"} {
		if got := services[name]; len(got.Command) == 0 || got.Command[0] != name {
			t.Errorf("service %s runs %q", name, got.Command)
		}
	}
}

// TestOrderOfStart checks the conditions of depends_on: a service that others wait for to be healthy has a health check, and
// one that they wait for to complete does complete.
func TestOrderOfStart(t *testing.T) {
	services := readCompose(t).Services
	for name, service := range services {
		for dependency, how := range service.DependsOn {
			on, known := services[dependency]
			switch {
			case !known:
				t.Errorf("%s waits for %s, which is not a service", name, dependency)
			case how.Condition == "service_healthy" && on.Healthcheck == nil:
				t.Errorf("%s waits for the health of %s, which has no health check", name, dependency)
			case how.Condition == "service_completed_successfully" && dependency != "migrate" && dependency != "topics" && dependency != "kafka-user":
				t.Errorf("%s waits for the end of %s, which does not end", name, dependency)
			}
		}
		if service.Image == image && name != "migrate" && name != "topics" && service.Healthcheck == nil {
			t.Errorf("%s has no health check", name)
		}
	}
}

func TestNothingIsOpenToTheNetwork(t *testing.T) {
	for name, service := range readCompose(t).Services {
		for _, port := range service.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s publishes %s beyond this machine", name, port)
			}
		}
	}
}

func TestVolumesAreDeclared(t *testing.T) {
	file := readCompose(t)
	for name, service := range file.Services {
		for _, volume := range service.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if strings.HasPrefix(source, ".") {
				if _, err := os.Stat(filepath.Join("..", source)); err != nil {
					t.Errorf("%s mounts %v", name, err)
				}
			} else if _, declared := file.Volumes[source]; !declared {
				t.Errorf("%s uses the undeclared volume %s", name, source)
			}
		}
	}
}

// TestDefaultsAreWritten checks that example.env lists every ${NAME:-default} of docker-compose.yml with the same default, and
// passwords and secrets, which have none, as empty.
func TestDefaultsAreWritten(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]string{}
	for _, match := range regexp.MustCompile(`\$\{([A-Z_]+):[-?]([^}]*)\}`).FindAllStringSubmatch(string(text), -1) {
		if earlier, seen := used[match[1]]; seen && earlier != "" && earlier != match[2] {
			t.Errorf("%s has the defaults %q and %q", match[1], earlier, match[2])
		}
		if used[match[1]] = match[2]; isSecret(match[1]) {
			used[match[1]] = ""
			if !strings.Contains(match[0], ":?") {
				t.Errorf("%s has a default that everybody knows", match[1])
			}
		}
	}
	if written := readEnv(t, "example.env"); !maps.Equal(used, written) {
		t.Errorf("docker-compose.yml uses %v\nexample.env has %v", used, written)
	}
}

// isSecret tells whether a setting is one that deploy/passwords.sh makes.
func isSecret(name string) bool {
	return strings.HasSuffix(name, "_PASSWORD") || strings.HasSuffix(name, "_SECRET") || name == "SECRETS_KEY"
}

func readEnv(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if found && !strings.HasPrefix(name, "#") {
			values[name] = value
		}
	}
	return values
}

// TestPrometheusReadsEveryProcess checks that exactly the processes with a metrics port are scraped. Optional ones, which
// belong to a profile, are discovered by DNS.
func TestPrometheusReadsEveryProcess(t *testing.T) {
	var settings struct {
		ScrapeConfigs []struct {
			StaticConfigs []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
			NamedConfigs []struct {
				Names []string `yaml:"names"`
				Port  int      `yaml:"port"`
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	unmarshal(t, filepath.Join("prometheus", "prometheus.yml"), &settings)
	var got, optional []string
	for _, job := range settings.ScrapeConfigs {
		for _, group := range job.StaticConfigs {
			got = append(got, group.Targets...)
		}
		for _, group := range job.NamedConfigs {
			for _, name := range group.Names {
				optional = append(optional, fmt.Sprintf("%s:%d", name, group.Port))
			}
		}
	}
	var want, wantOptional []string
	for name, service := range readCompose(t).Services {
		if service.Image != image {
			continue
		}
		if listen, given := service.Environment["METRICS_LISTEN"]; given {
			if target := name + strings.TrimPrefix(listen, "0.0.0.0"); len(service.Profiles) > 0 {
				wantOptional = append(wantOptional, target)
			} else {
				want = append(want, target)
			}
		}
		if index := slices.Index(service.Command, "--listen"); index >= 0 {
			want = append(want, name+strings.TrimPrefix(service.Command[index+1], "0.0.0.0"))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Prometheus reads %v, want %v", got, want)
	}
	if !slices.Equal(optional, wantOptional) {
		t.Errorf("Prometheus looks for %v, want %v", optional, wantOptional)
	}
}

func TestComposeAcceptsTheFile(t *testing.T) {
	program := os.Getenv("DOCKER_COMPOSE")
	if program == "" {
		t.Skip("set DOCKER_COMPOSE to the command, such as docker-compose or \"docker compose\", to run this test")
	}
	words := append(strings.Fields(program), "--file", filepath.Join("..", "docker-compose.yml"), "config")
	without, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err == nil || !strings.Contains(string(without), "deploy/passwords.sh") {
		t.Errorf("without passwords: %v\n%s", err, without)
	}
	command := exec.Command(words[0], words[1:]...)
	command.Env = append(os.Environ(), "POSTGRES_PASSWORD=p", "KAFKA_PASSWORD=k", "ELASTIC_PASSWORD=e", "RELAY_SECRET=r", "SECRETS_KEY=s")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, output)
	}
	for _, want := range []string{"consume", "0.0.0.0:8003", "service_completed_successfully"} {
		if !strings.Contains(string(output), want) {
			t.Errorf("the resolved file lacks %s", want)
		}
	}
}
