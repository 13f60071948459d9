package dingtalktest

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"
)

func at(t *testing.T, ms string) time.Time {
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.UnixMilli(n)
}

func TestSignaturesAndSealsAreDingTalks(t *testing.T) {
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Robot         struct{ Timestamp, AppSecret, Sign string }
		Webhook, Card struct{ Timestamp, Secret, Sign string }
		Events        []struct{ Name, Token, AESKey, Owner, Random, Timestamp, Nonce, Encrypt, Signature, Plain string }
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if h := SignRobot(v.Robot.AppSecret, at(t, v.Robot.Timestamp)); h.Get("sign") != v.Robot.Sign || h.Get("timestamp") != v.Robot.Timestamp {
		t.Errorf("robot: %v", h)
	}
	if q := SignWebhook(v.Webhook.Secret, at(t, v.Webhook.Timestamp)); q.Get("sign") != v.Webhook.Sign {
		t.Errorf("webhook: %v", q)
	}
	if h := SignCard(v.Card.Secret, at(t, v.Card.Timestamp)); h.Get("x-ddpaas-signature") != v.Card.Sign {
		t.Errorf("card: %v", h)
	}
	if len(v.Events) != 5 {
		t.Fatalf("%d events", len(v.Events))
	}
	for _, e := range v.Events {
		if got := Signature(e.Token, e.Timestamp, e.Nonce, e.Encrypt); got != e.Signature {
			t.Errorf("%s: signature %s, want %s", e.Name, got, e.Signature)
		}
		plain, owner, err := Decrypt(e.AESKey, e.Encrypt)
		if err != nil || string(plain) != e.Plain || owner != e.Owner {
			t.Errorf("%s: %q of %q, %v", e.Name, plain, owner, err)
		}
		if e.Random == "" {
			continue
		}
		if got, err := Encrypt(e.AESKey, e.Owner, [16]byte([]byte(e.Random)), []byte(e.Plain)); err != nil || got != e.Encrypt {
			t.Errorf("%s: sealed %s, want %s, %v", e.Name, got, e.Encrypt, err)
		}
	}
}

func TestDecryptRefusesWhatIsNoSeal(t *testing.T) {
	good, err := Encrypt(AESKey, "owner", random16(), []byte("success"))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "AAAA", good[:20] + "==", good + "!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="} {
		if _, _, err := Decrypt(AESKey, bad); err == nil {
			t.Errorf("%q was opened", bad)
		}
	}
	if _, _, err := Decrypt("short", good); err == nil {
		t.Error("opened without a key")
	}
}
