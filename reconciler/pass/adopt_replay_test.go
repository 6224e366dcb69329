package pass_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/docker/docker/api/types/filters"
)

// recording is what an engine answered about an installation, and the files of that installation. testdata/adopt/README.md
// says how it was made.
type recording struct {
	Answers     map[string]json.RawMessage // by path, without the version of the API and without a query
	Logs        map[string][]byte          // by path: the frames of each container's whole log
	Directories []string
	Files       map[string]recordedFile // by path
	Inodes      map[string]uint64       // of the sources of mounts, by path
}

type recordedFile struct {
	Content string
	Mode    uint32
}

func readRecording(t *testing.T) recording {
	t.Helper()
	file, err := os.Open("testdata/adopt/recording.json.gz")
	must(t, err)
	defer file.Close()
	text, err := gzip.NewReader(file)
	must(t, err)
	var r recording
	must(t, json.NewDecoder(text).Decode(&r))
	return r
}

// replay is an engine that only answers what was recorded. Asked for anything else, or to change anything, it fails the test.
type replay struct {
	*testing.T
	recording
}

// serve has Docker's client find the replay as if it were the engine of this host.
func (r replay) serve() {
	r.Helper()
	dir, err := os.MkdirTemp("", "bt") // not the test's own directory: the path of a socket has at most 107 bytes
	must(r.T, err)
	r.Cleanup(func() { must(r.T, os.RemoveAll(dir)) })
	socket := filepath.Join(dir, "docker.sock")
	listener, err := (&net.ListenConfig{}).Listen(r.Context(), "unix", socket)
	must(r.T, err)
	server := httptest.NewUnstartedServer(r)
	must(r.T, server.Listener.Close())
	server.Listener = listener
	server.Start()
	r.Cleanup(server.Close)
	r.Setenv("DOCKER_HOST", "unix://"+socket)
	for _, name := range []string{"DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION"} {
		r.Setenv(name, "")
	}
}

var versionPrefix = regexp.MustCompile(`^/v1\.\d+`)

func (r replay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path := versionPrefix.ReplaceAllString(req.URL.Path, "")
	answer, known := r.Answers[path]
	log, isLog := r.Logs[path]
	switch {
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		r.Errorf("the engine was asked to change something: %s %s", req.Method, path)
		w.WriteHeader(http.StatusForbidden)
	case path == "/_ping":
		w.Header().Set("Api-Version", "1.41")
	case path == "/containers/json":
		r.write(w, r.listed(answer, req))
	case path == "/volumes": // no bottle had any
		r.write(w, []byte(`{"Volumes":[],"Warnings":null}`))
	case isLog:
		r.write(w, log)
	case known:
		r.write(w, onThisHost(answer))
	default:
		r.Errorf("the engine was asked what was not recorded: %s %s", req.Method, path)
		w.WriteHeader(http.StatusNotImplemented)
	}
}

func (r replay) write(w http.ResponseWriter, body []byte) {
	if _, err := w.Write(body); err != nil {
		r.Errorf("answer: %v", err)
	}
}

// listed filters a list of containers by the labels that the request asks for.
func (r replay) listed(all []byte, req *http.Request) []byte {
	args, err := filters.FromJSON(req.FormValue("filters"))
	if err != nil || req.FormValue("all") != "1" {
		r.Errorf("the request is not for containers, running or not: %s (%v)", req.URL, err)
	}
	var containers, matching []json.RawMessage
	err = json.Unmarshal(all, &containers)
	for _, c := range containers {
		var labelled struct{ Labels map[string]string }
		err = errors.Join(err, json.Unmarshal(c, &labelled))
		if args.MatchKVList("label", labelled.Labels) {
			matching = append(matching, c)
		}
	}
	body, marshalErr := json.Marshal(matching)
	if err = errors.Join(err, marshalErr); err != nil {
		r.Errorf("the recorded list of containers: %v", err)
	}
	return body
}

// onThisHost adds the masked paths that bottled would have requested on this host in addition: some depend on the processors,
// and the recorded host had none of them.
func onThisHost(answer []byte) []byte {
	const last = `"/sys/firmware"`
	masked := last
	perCPU, _ := filepath.Glob("/sys/devices/system/cpu/cpu*/thermal_throttle") // fails for a bad pattern only
	for _, path := range perCPU {
		masked += `,"` + path + `"`
	}
	return bytes.ReplaceAll(answer, []byte(last), []byte(masked))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
