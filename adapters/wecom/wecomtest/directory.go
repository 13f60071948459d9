package wecomtest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

type department struct {
	ID       int    `json:"id"`
	Name     string `json:"name"`
	ParentID int    `json:"parentid"`
	Order    int    `json:"order"`
}

// AddDepartment makes a department below another; 1 is the root.
func (s *Server) AddDepartment(id, parent int, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.departments = append(s.departments, &department{ID: id, Name: name, ParentID: parent, Order: 1000 - len(s.departments)})
}

// department needs s.mu.
func (s *Server) department(id int) *department {
	for _, d := range s.departments {
		if d.ID == id {
			return d
		}
	}
	return nil
}

// below are a department and all under it; 0 = all.
func (s *Server) below(id int) []*department {
	var out []*department
	for _, d := range s.departments {
		for at := d; at != nil; at = s.department(at.ParentID) {
			if id == 0 || at.ID == id {
				out = append(out, d)
				break
			}
		}
	}
	return out
}

// member is a user as user/get tells him: https://developer.work.weixin.qq.com/document/path/90196
func (s *Server) member(u *User) object {
	leads := make([]int, len(u.Departments))
	if u.Leader {
		leads[0] = 1
	}
	o := object{
		"userid": u.ID, "name": u.Name, "department": u.Departments, "order": make([]int, len(u.Departments)), "position": u.Position, "gender": "0",
		"is_leader_in_dept": leads, "direct_leader": []string{}, "status": u.Status, "isleader": leads[0], "enable": 1, "hide_mobile": 0, "telephone": "",
		"main_department": u.Departments[0], "alias": "", "extattr": object{"attrs": []any{}},
	}
	if s.opt.Sensitive {
		o["email"], o["mobile"] = u.Email, u.Mobile
	}
	return o
}

func getUser(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[c.query.Get("userid")]
	switch {
	case u == nil || u.Status == 5:
		return nil, no(60111)
	case u.Hidden:
		return nil, no(60011)
	}
	return s.member(u), nil
}

func listUsers(whole bool) func(c *call) (object, error) {
	return func(c *call) (object, error) {
		s := c.s
		s.mu.Lock()
		defer s.mu.Unlock()
		id, err := strconv.Atoi(c.query.Get("department_id"))
		if err != nil || s.department(id) == nil {
			return nil, no(60123)
		}
		list := []object{}
		for _, name := range s.order {
			u := s.users[name]
			if u.Hidden || u.Status == 5 || !slices.Contains(u.Departments, id) {
				continue
			}
			if whole {
				list = append(list, s.member(u))
			} else {
				list = append(list, object{"userid": u.ID, "name": u.Name, "department": u.Departments, "open_userid": ""})
			}
		}
		return object{"userlist": list}, nil
	}
}

// who finds a member.
func (c *call) who(missing int, is func(u *User) bool) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.order {
		if u := s.users[id]; !u.Hidden && u.Status != 5 && is(u) {
			return object{"userid": id}, nil
		}
	}
	return nil, no(missing)
}

func userByMobile(c *call) (object, error) {
	want := c.str("mobile")
	return c.who(46004, func(u *User) bool { return want != "" && u.Mobile == want })
}

func userByEmail(c *call) (object, error) {
	want := c.str("email")
	if n, ok := number(c.body, "email_type"); !ok || n < 0 || n > 2 {
		return nil, no(40058)
	}
	return c.who(46004, func(u *User) bool { return want != "" && strings.EqualFold(u.Email, want) })
}

func toOpenID(c *call) (object, error) {
	want := c.str("userid")
	if _, err := c.who(60111, func(u *User) bool { return u.ID == want }); err != nil {
		return nil, err
	}
	return object{"openid": "oEM" + want}, nil
}

func toUserID(c *call) (object, error) {
	want := c.str("openid")
	return c.who(40003, func(u *User) bool { return "oEM"+u.ID == want })
}

func (c *call) departments() ([]*department, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	id := 0
	if q := c.query.Get("id"); q != "" {
		var err error
		if id, err = strconv.Atoi(q); err != nil || s.department(id) == nil {
			return nil, no(60123)
		}
	}
	return s.below(id), nil
}

func simpleDepartments(c *call) (object, error) {
	all, err := c.departments()
	list := []object{}
	for _, d := range all {
		list = append(list, object{"id": d.ID, "parentid": d.ParentID, "order": d.Order})
	}
	return object{"department_id": list}, err
}

func listDepartments(c *call) (object, error) {
	all, err := c.departments()
	return object{"department": all}, err
}

func getDepartment(c *call) (object, error) {
	id, err := strconv.Atoi(c.query.Get("id"))
	if err != nil {
		return nil, no(60123)
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	d := c.s.department(id)
	if d == nil {
		return nil, no(60123)
	}
	return object{"department": d}, nil
}

// login is a code that tells who a browser's user is; it serves once, for five minutes.
type login struct {
	user    string
	private bool
	until   time.Time
}

// LogIn says who sits at the browser that is led to the login pages.
func (s *Server) LogIn(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visitor = user
}

// LoginCode makes a code as the login page would.
func (s *Server) LoginCode(user string, private bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newLogin(user, private)
}

func (s *Server) newLogin(user string, private bool) string {
	id := s.id("code")
	s.logins[id] = &login{user: user, private: private, until: s.opt.Now().Add(5 * time.Minute)}
	return id
}

// serveLogin is the page that sends a browser back with a code:
// https://developer.work.weixin.qq.com/document/path/98152
func (s *Server) serveLogin(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	to, err := url.Parse(q.Get("redirect_uri"))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || to.Host == "" || q.Get("appid") != s.opt.Corp || s.visitor == "" {
		http.Error(w, "redirect_uri or appid is wrong, or nobody is logged in", http.StatusBadRequest)
		return
	}
	back := to.Query()
	back.Set("code", s.newLogin(s.visitor, q.Get("scope") == "snsapi_privateinfo"))
	back.Set("state", q.Get("state"))
	to.RawQuery = back.Encode()
	http.Redirect(w, r, to.String(), http.StatusFound)
}

func userInfo(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logins[c.query.Get("code")]
	if l == nil || !s.opt.Now().Before(l.until) {
		return nil, no(40029)
	}
	delete(s.logins, c.query.Get("code"))
	if s.users[l.user] == nil {
		return object{"openid": "oEM" + l.user, "external_userid": l.user}, nil
	}
	answer := object{"userid": l.user}
	if l.private {
		ticket := s.id("ticket")
		s.tickets[ticket] = l.user
		answer["user_ticket"] = ticket
	}
	return answer, nil
}

func userDetail(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[s.tickets[c.str("user_ticket")]]
	if u == nil {
		return nil, because(40058, "user_ticket")
	}
	return object{"userid": u.ID, "gender": "0", "avatar": "", "qr_code": "", "mobile": u.Mobile, "email": u.Email, "biz_mail": u.Email, "address": ""}, nil
}

// createMenu is https://developer.work.weixin.qq.com/document/path/90231
func createMenu(c *call) (object, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.query.Get("agentid") != strconv.Itoa(c.app) {
		return nil, no(40056)
	}
	tops := items(c.body, "button")
	if len(tops) < 1 || len(tops) > 3 {
		return nil, because(40058, "a menu has 1 to 3 buttons")
	}
	for _, top := range tops {
		subs := items(top, "sub_button")
		if len(subs) > 5 {
			return nil, because(40058, "a menu has at most 5 entries below a button")
		}
		if len(subs) == 0 {
			subs = []object{top}
		}
		for _, b := range subs {
			switch {
			case text(b, "name") == "" || text(top, "name") == "":
				return nil, because(40058, "a button needs a name")
			case text(b, "type") == "view" && text(b, "url") == "":
				return nil, because(40058, "a button of type view needs a url")
			case text(b, "type") != "view" && (text(b, "key") == "" || len(text(b, "key")) > 128):
				return nil, because(40058, "a button needs a key of at most 128 bytes")
			}
		}
	}
	s.menu = json.RawMessage(slices.Clone(c.raw))
	return nil, nil
}

func getMenu(c *call) (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.menu == nil {
		return nil, no(46003)
	}
	var o object
	err := json.Unmarshal(c.s.menu, &o)
	return o, err
}

func deleteMenu(c *call) (object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.menu = nil
	return nil, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return // the caller is gone
	}
}
