package slack

import _ "embed"

// Manifest describes the app to Slack: scopes, events, commands, shortcuts.
// https://docs.slack.dev/reference/app-manifest
//
//go:embed slack-manifest.yaml
var Manifest []byte
