// Package feishu connects Paidan to Feishu and Lark: events and card callbacks
// come in over HTTP or a long connection, cards go out as card JSON 2.0.
package feishu

import (
	_ "github.com/larksuite/oapi-sdk-go/v3/core"
	_ "github.com/larksuite/oapi-sdk-go/v3/service/im/v1"
)

// Platform is the name of this platform in installs and paths.
const Platform = "feishu"
