package wecom

import (
	"net/http"
	"strconv"
	"time"

	"github.com/paidan/paidan/bot"
)

// verify opens what came to the app's address: the message, or for a GET what
// has to be echoed.
func (a *app) verify(r bot.Raw, now time.Time) ([]byte, error) {
	if r.Method == http.MethodGet {
		return a.crypt.echo(r.Query, now)
	}
	return openOuter(a.crypt, r, now, a.conf.CorpID, strconv.FormatInt(a.conf.AgentID, 10))
}

// openOuter opens a POST. What stands beside the encrypted message is not
// signed, so it is believed in nothing; but it must name the corp, and the app
// unless the message belongs to no app, or somebody has been at it.
func openOuter(c *crypt, r bot.Raw, now time.Time, corp, agent string) ([]byte, error) {
	if r.Method != http.MethodPost || len(r.Query) != 3 {
		return nil, bot.ErrUnverified
	}
	env, err := parseOuter(r.Body)
	if err != nil || env.to != corp || env.agent != agent && env.agent != "" && env.agent != "0" {
		return nil, bot.ErrUnverified
	}
	return c.open(r.Query, env.encrypt, now)
}
