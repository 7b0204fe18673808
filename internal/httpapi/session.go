package httpapi

import (
	"net/http"
	"time"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/fault"
)

// sessionAnswer says who asks.
type sessionAnswer struct {
	Actor   string    `json:"actor"`
	Role    auth.Role `json:"role" enum:"ingest,viewer,editor,admin"`
	Project string    `json:"project,omitempty" doc:"The only project; absent for all."`
	Until   time.Time `json:"until,omitzero" doc:"When a new session ends."`
	Open    bool      `json:"open" doc:"Whether the server is open: it asks nobody for a credential."`
}

func (s *server) createSession(c *call) (*reply, error) {
	if err := c.q.err(); err != nil {
		return nil, err
	}
	if !s.auth.Closed() {
		who := c.who()
		return &reply{Data: sessionAnswer{Actor: who.Actor, Role: who.Role, Open: true}}, nil
	}
	credential, err := credentialOf(c.Request)
	if err != nil {
		return nil, err
	}
	if credential == "" {
		return nil, errNoCredential
	}
	in, err := s.auth.SignIn(c, credential)
	if err != nil {
		return nil, err
	}
	s.setSession(c, in.Text, in.Until)
	return &reply{Data: sessionAnswer{Actor: in.Actor, Role: in.Role, Project: in.Project, Until: in.Until.UTC()}}, nil
}

func (s *server) getSession(c *call) (*reply, error) {
	if err := c.q.err(); err != nil {
		return nil, err
	}
	who := c.who()
	if who.Role == "" {
		return nil, errNoCredential
	}
	return &reply{Data: sessionAnswer{Actor: who.Actor, Role: who.Role, Project: who.Project, Open: !s.auth.Closed()}}, nil
}

// deleteSession needs no origin: pages of others were refused before, and whoever
// has the cookie otherwise may end it.
func (s *server) deleteSession(c *call) (*reply, error) {
	if err := c.q.err(); err != nil {
		return nil, err
	}
	s.setSession(c, "", time.Time{})
	for _, cookie := range c.CookiesNamed(sessionCookie) {
		if err := s.auth.SignOut(c, cookie.Value); err != nil {
			return nil, err
		}
	}
	return &reply{status: http.StatusNoContent}, nil
}

var errNoCredential = fault.New(fault.Unknown, "This needs a key: send it as Authorization: Bearer KEY, or as X-API-Key")

// setSession sets the cookie, or takes it back when text is empty.
func (s *server) setSession(c *call, text string, until time.Time) {
	cookie := &http.Cookie{
		Name: sessionCookie, Value: text, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: s.secureRequest(c.Request), Expires: until, MaxAge: int(until.Sub(s.now()).Seconds()),
	}
	if text == "" {
		cookie.Expires, cookie.MaxAge = time.Time{}, -1
	}
	http.SetCookie(c.w, cookie)
}
