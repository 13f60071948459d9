package bot

import (
	"testing"

	"github.com/paidan/paidan/tickets"
)

// What opens no ticket is no command either: a greeting to the bot is answered,
// not obeyed.
func TestChatterIsNoVerb(t *testing.T) {
	for _, text := range []string{"你好", "谢谢", "好的谢谢", "收到", "ok thx!", "麻烦了", "在吗", "👌", "hello", "thank you so much", "嗯嗯", "辛苦了"} {
		if !tickets.Chatter(text) {
			t.Errorf("%q is no chatter", text)
		}
		if in := Parse(text, nil, saturday, shanghai); in.Verb != VerbNone {
			t.Errorf("%q is %s", text, in.Verb)
		}
	}
}
