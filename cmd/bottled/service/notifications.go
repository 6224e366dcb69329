package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/service/notify"
	"github.com/bot-bottle/bottled/cmd/sidecars/pipelock/dlp"
	"github.com/bot-bottle/bottled/manifests/scalar"
)

// NotifyOptions are the channels of notifications about proposals; the zero value has none.
type NotifyOptions struct {
	Webhook    string // URL; "" for none. It may hold a secret
	SecretFile string // with the secret that signs what is sent there; "" for no signature
	Command    string // words separated by spaces: a program by its absolute path, and its arguments; "" for none
	Desktop    bool   // by notify-send
}

// webhookFlag is the setting whose value may hold a secret.
const webhookFlag = "notify-webhook"

// minWebhookSecret is the least length of the secret that signs messages, in bytes.
const minWebhookSecret = 16

// channels opens the channels. What can't work is an error, except for a desktop without notify-send: one configuration may serve many hosts.
func (o NotifyOptions) channels(log zerolog.Logger) ([]notify.Channel, error) {
	var all []notify.Channel
	if o.Webhook != "" {
		if err := notify.CheckWebhook(o.Webhook); err != nil {
			return nil, fmt.Errorf("--notify-webhook: %w", err)
		}
		var secret func() ([]byte, error)
		if o.SecretFile != "" {
			secret = func() ([]byte, error) { return readWebhookSecret(o.SecretFile) }
			if _, err := secret(); err != nil {
				return nil, fmt.Errorf("--notify-webhook-secret-file: %w", err)
			}
		}
		all = append(all, notify.Webhook(o.Webhook, secret))
	}
	if o.Command != "" {
		words := strings.Fields(o.Command)
		if len(words) == 0 || !filepath.IsAbs(words[0]) {
			return nil, fmt.Errorf("--notify-exec %q: name the program by its absolute path", o.Command)
		}
		if _, err := exec.LookPath(words[0]); err != nil {
			return nil, fmt.Errorf("--notify-exec: %w", err)
		}
		all = append(all, notify.Command(words))
	}
	if o.Desktop {
		program, err := exec.LookPath("notify-send")
		if err != nil {
			log.Warn().Err(err).Msg("notify-desktop has no effect: install notify-send (Debian: libnotify-bin)")
			return all, nil
		}
		all = append(all, notify.Desktop(program))
	}
	return all, nil
}

// startNotifier tells people of proposals until ctx ends; then the channel is closed.
func (s *Service) startNotifier(ctx context.Context, source api.Source, channels []notify.Channel) <-chan struct{} {
	ended := make(chan struct{})
	n := &notify.Notifier{Source: source, Channels: channels, Detect: secretKind, Log: s.Log}
	go func() {
		defer close(ended)
		n.Run(ctx)
	}()
	return ended
}

// secretKind returns what kind of secret a text holds; "" for none.
func secretKind(text string) string {
	if kind := scalar.SecretKind(text); kind != "" {
		return kind
	}
	detector, err := dlp.New()
	if err != nil { // no text can be judged, so none is shown
		return err.Error()
	}
	return detector.Find([]byte(text))
}

func readTokens(path string) (api.Tokens, error) {
	text, err := readPrivateFile(path)
	if err != nil {
		return nil, fmt.Errorf("api-tokens-file: %w", err)
	}
	tokens, err := api.ParseTokens(text)
	if err != nil {
		return nil, fmt.Errorf("api-tokens-file %s: %w", path, err)
	}
	return tokens, nil
}

func readWebhookSecret(path string) ([]byte, error) {
	text, err := readPrivateFile(path)
	if err != nil {
		return nil, err
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < minWebhookSecret {
		return nil, fmt.Errorf("%s: a secret has at least %d characters: openssl rand -hex 32 prints one", path, minWebhookSecret)
	}
	return []byte(secret), nil
}

// readPrivateFile reads a file of secrets, of at most 1 MiB, that nobody else can read or write.
func readPrivateFile(path string) (text []byte, err error) {
	const most = 1 << 20
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe does not block
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s can be read or written by others (mode %04o): chmod 600 %s", path, info.Mode().Perm(), path)
	case !known || owner.Uid != 0 && int(owner.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%s belongs to another user: chown it to the user that bottled runs as", path)
	}
	text, err = io.ReadAll(io.LimitReader(file, most+1))
	if len(text) > most {
		err = cmp.Or(err, fmt.Errorf("%s has more than %d bytes", path, most))
	}
	return text, err
}

// withoutPath is a URL as it may be shown: what follows the host may be a secret.
func withoutPath(address string) string {
	u, err := url.Parse(address)
	switch {
	case address == "":
		return ""
	case err != nil || u.Host == "":
		return "(not shown)"
	case strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.User == nil:
		return address
	}
	return u.Scheme + "://" + u.Host + "/…"
}
