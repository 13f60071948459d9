package feishu

import _ "embed"

// Scopes are the permissions of the app, as 权限管理 → 批量导入/导出权限
// (Permissions & Scopes → Batch import/export scopes) takes them.
//
//go:embed feishu-scopes.json
var Scopes []byte
