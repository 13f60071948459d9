// Package wecom connects Paidan to WeCom 企业微信: the self-built app for private
// cards and the directory, the smart robot for groups, and 微信客服 for customers.
package wecom

import (
	_ "github.com/silenceper/wechat/v2/credential"
	_ "github.com/silenceper/wechat/v2/work"
)

// Platform is the name of this platform in installs and paths.
const Platform = "wecom"
