package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/bot-bottle/bottled/state/printable"
)

// SignatureHeader has the HMAC-SHA256 of a webhook's body by the operator's secret, as "sha256=" and hexadecimal digits.
const SignatureHeader = "X-Bottled-Signature"

// CheckWebhook fails for an address to which nothing can be sent. The error does not have it, since it may hold a secret.
func CheckWebhook(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return errors.New("it is not a URL such as https://hooks.example.com/bottled")
	}
	return nil
}

// Webhook sends messages as JSON with POST. secret is read for each of them; nil sends them without a signature. Redirects are not followed.
func Webhook(address string, secret func() ([]byte, error)) Channel {
	client := &http.Client{
		Timeout:       sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return Channel{Name: "webhook", Send: func(ctx context.Context, m Message) error {
		body, err := encode(m)
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
		if err != nil {
			return withoutURL(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("User-Agent", "bottled")
		if secret != nil {
			key, err := secret()
			if err != nil {
				return fmt.Errorf("notify-webhook-secret-file: %w", err)
			}
			req.Header.Set(SignatureHeader, signature(key, body))
		}
		resp, err := client.Do(req)
		if err != nil {
			return withoutURL(err)
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		return verdict(resp.StatusCode)
	}}
}

func encode(m Message) ([]byte, error) {
	body, err := json.Marshal(m)
	return printable.JSON(body), err
}

func signature(key, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// verdict is the error of an answer. One that is about the request itself would be the same again.
func verdict(code int) error {
	err := fmt.Errorf("it answers %d %s", code, http.StatusText(code))
	switch {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return fmt.Errorf("%w: %w; redirects are not followed", errPermanent, err)
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return err
	}
	return fmt.Errorf("%w: %w", errPermanent, err)
}

// withoutURL leaves out of an error the address, which may hold a secret.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
