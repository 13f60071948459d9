package dingtalk

import _ "embed" // of the template

// CardTemplate describes the card template: its variables with values to try,
// and its components. DingTalk's builder has no documented form to import, so
// an administrator builds it by hand, once: see docs/platforms/dingtalk.md.
//
//go:embed card-template.json
var CardTemplate []byte
