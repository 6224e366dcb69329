package v1alpha1

import "time"

// ServicesField is the path of the services.
const ServicesField = specField + ".services"

// MaxServices is the most services of a bottle. Its internal network has addresses for 13 containers, and sessions need some.
const MaxServices = 5

// Service is a container that the agent needs beside it, like a database. The agent reaches it by its name.
type Service struct {
	Name            string              `json:"name" jsonschema_description:"The host name by which the agent reaches the service: a DNS label of at most 40 characters."`
	Image           string              `json:"image" jsonschema_description:"The service's image."`
	Command         []string            `json:"command,omitempty" jsonschema_description:"The program and its arguments, instead of the image's."`
	Env             map[string]EnvValue `json:"env,omitempty" jsonschema_description:"Environment variables: texts, or {file: PATH} or {env: NAME} for a value that is read. They are no place for secrets."`
	User            string              `json:"user,omitempty" jsonschema_description:"The user that runs the service, as UID:GID or by name. Unset: the image's."`
	Volumes         []Volume            `json:"volumes,omitempty" jsonschema_description:"Directories that the engine keeps for the service: they outlive its container."`
	Tmpfs           []Tmpfs             `json:"tmpfs,omitempty" jsonschema_description:"File systems in memory."`
	StopGracePeriod string              `json:"stopGracePeriod,omitempty" jsonschema_description:"How long the service has to end after SIGTERM, like 30s or 1m30s; at most 10m. Unset: 10s."`
	Healthcheck     *Healthcheck        `json:"healthcheck,omitempty" jsonschema_description:"How the engine tells that the service works. Unset: the image's check, if it has one."`
	Resources       Resources           `json:"resources,omitempty" jsonschema_description:"What the service may use at most."`
}

// Healthcheck is a command that the engine runs in a container again and again. Unset fields are its defaults.
type Healthcheck struct {
	Command  []string `json:"command" jsonschema_description:"The program and its arguments. The service works when it ends with exit code 0."`
	Interval string   `json:"interval,omitempty" jsonschema_description:"The time between two checks, like 5s or 1m30s. Unset: 5s."`
	Timeout  string   `json:"timeout,omitempty" jsonschema_description:"How long one check may take. Unset: 5s."`
	Retries  int64    `json:"retries,omitempty" jsonschema_description:"After how many failed checks in a row the service is unhealthy. Unset: 3."`
	// StartPeriod keeps a service that prepares its data from being replaced in the middle of that.
	StartPeriod string `json:"startPeriod,omitempty" jsonschema_description:"The time after a start in which failed checks don't count. Unset: 1m."`
}

// The defaults of a health check.
const (
	DefaultHealthInterval    = 5 * time.Second
	DefaultHealthTimeout     = 5 * time.Second
	DefaultHealthRetries     = 3
	DefaultHealthStartPeriod = time.Minute
)

// Duration returns a duration of a valid bottle's field, or its default where the field is unset.
func Duration(text string, unset time.Duration) time.Duration {
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	return unset
}
