package tickets

import (
	"errors"
	"strconv"
	"strings"
)

// Code names a refusal. The edge turns it into a sentence for the human.
type Code string

// The refusals. Args that come with one are named in brackets.
const (
	AlreadyClaimed Code = "already_claimed" // [by]
	NotYours       Code = "not_yours"       // [by] somebody else owns it
	NotAllowed     Code = "not_allowed"     // [verb] the actor lacks the right
	WrongState     Code = "wrong_state"     // [status, verb]
	NotFound       Code = "not_found"       // [number, near]; also what an outsider gets
	TooSoon        Code = "too_soon"        // [until] microseconds
	TooLate        Code = "too_late"        // [verb]
	EmptyText      Code = "empty_text"      // [what] title, reason, text …
	TooLong        Code = "too_long"        // [what, max]
	NoNumber       Code = "no_number"       // it is not clear which ticket is meant
	NoSuchPerson   Code = "no_such_person"
	NoSuchType     Code = "no_such_type"   // [type]
	NoSuchField    Code = "no_such_field"  // [field]
	NoSuchTeam     Code = "no_such_team"   // [team]
	NoSuchDesk     Code = "no_such_desk"   // [desk]
	BadValue       Code = "bad_value"      // [field, label, why]
	FieldRequired  Code = "field_required" // [field, label]
	NothingToUndo  Code = "nothing_to_undo"
	SelfMerge      Code = "self_merge"   // a ticket cannot be merged into, or linked to, itself
	NotAnAgent     Code = "not_an_agent" // [by] the person cannot own tickets of this desk
	BadTime        Code = "bad_time"     // a moment that has passed
	Stale          Code = "stale"        // what was pressed shows an older state, and it matters
)

// Error is a refusal by the rules: nothing was changed, and doing the same
// again will be refused again unless something else changes first.
type Error struct {
	Code Code
	Args map[string]string
}

func (e *Error) Error() string { return "refused: " + string(e.Code) }

// Refuse makes an Error; args are key, value, key, value …
func Refuse(code Code, args ...string) *Error {
	e := &Error{Code: code}
	for i := 0; i+1 < len(args); i += 2 {
		if e.Args == nil {
			e.Args = map[string]string{}
		}
		e.Args[args[i]] = args[i+1]
	}
	return e
}

// CodeOf returns the code of a refusal in err's chain, or "".
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func require(what, s string) error {
	if strings.TrimSpace(s) == "" {
		return Refuse(EmptyText, "what", what)
	}
	return nil
}

func atMost(what string, n int, s string) error {
	if len([]rune(s)) > n {
		return Refuse(TooLong, "what", what, "max", strconv.Itoa(n))
	}
	return nil
}
