// What the page itself says, in Chinese and English. What the bot says comes
// from the bot and is not translated here.

const zh = {
  title: '演练场', demo: '演示 · 没有登录', demoWhy: '这里没有登录：打开页面的人可以扮演任何一位。不要输入真实的客户资料。',
  youAre: '你现在是', switchHint: '点头像换人', groups: '会话', mine: '我的工作台', mineAbout: '只有你看得到的工单清单',
  back: '返回会话列表', members: '{n} 人', members1: '{n} 人', thread: '话题', threadClose: '关闭话题', replies: '{n} 条回复', replies1: '{n} 条回复', replyHere: '在话题里回复',
  placeholderCustomer: '说点什么，或者试试「@工单 建单 ERP 登录不了」', placeholderCustomerShort: '@工单 说出问题', placeholderPrivate: '直接说就行，不用 @：试试「建单 打印机卡纸」', placeholderPrivateShort: '直接说，不用 @',
  placeholderAgent: '说点什么，或者试试「@工单 待接」', placeholderAgentShort: '试试「@工单 待接」', placeholderManager: '说点什么，或者试试「@工单 设置」', placeholderManagerShort: '试试「@工单 设置」', placeholderThread: '在话题里回复…',
  send: '发送', sendHint: 'Enter 发送 · Shift+Enter 换行', attach: '添加文件', newTicket: '填表建单', remove: '移除 {name}',
  onlyYou: '仅你可见', dismiss: '知道了', edited: '已编辑', editing: '正在编辑 · Esc 取消', bot: '机器人', atYou: '@ 你', you: '你',
  more: '更多', cancel: '取消', ok: '确定', confirm: '请确认', submit: '提交', close: '关闭', choose: '请选择…', optional: '选填',
  required: '这一项要填', edit: '编辑', del: '删除', delSure: '删除这条消息？', makeTicket: '用这条消息建工单', messageMenu: '消息操作', react: '回应 {name}',
  clock: '机器人的时间', clockWhy: '往前拨钟，看期限临近和超时会发生什么', ahead: '快进了 {d}', h1: '+1 小时', h8: '+8 小时', d1: '+1 天', advanced: '钟拨快了 {d}',
  hours: '{n} 小时', days: '{n} 天', lang: 'English', langLabel: 'Switch to English',
  offline: '连接断了，正在重新连接…', earlier: '看更早的消息', loading: '正在打开…', today: '今天', yesterday: '昨天',
  pending: '已收到。Paidan 正在处理，结果会出现在这里。', expand: '展开全文', collapse: '收起', empty: '还没有消息', fileCard: '[文件]', cardWord: '[卡片]',
  unread: '{n} 条未读', homeEmpty: '这里会列出和你有关的工单。', download: '下载 {name}', uploading: '正在上传 {name}…', persons: '换一个人', menuFor: '更多操作',
  welcome: '三步看懂 Paidan', w1: '你是王芳，电脑出了问题：在群里 @工单 说出来', w1do: '填入「建单 ERP 登录不了」', w2: '换成李四，到「IT 服务台」接单、处理', w2do: '换成李四',
  w3: '解决以后，换回王芳确认 —— 她那张卡片一直在原地更新', w3do: '换回王芳', w4: '时钟可以拨快，马上看到超时提醒', welcomePrivate: '这里只有你和机器人', welcomePrivateText: '不用 @，直接说。试试下面的词。',
  welcomeDesk: '新工单会出现在这里', welcomeDeskText: '卡片上的按钮就是全部操作；状态一变，卡片原地更新，不刷屏。', welcomeDeskDo: '先换成王芳，提一张工单',
  welcomeManagers: '这个群还没有接入', welcomeManagersText: '管理员（陈总）在这里 @工单 设置，选它是受理群还是处理群。', welcomeManagersDo: '填入「设置」',
  g1: '王芳遇到了问题：去群里提一张工单', g1there: '你是王芳：在群里 @工单 说出问题', g2: '换成李四，到「IT 服务台」接单', g2there: '点新卡片上的「接单」，处理完点「解决」', g3: '换回王芳，看她的卡片', g3there: '卡片已在原地更新：点「已解决」确认',
  fillIn: '填入', guideClose: '关闭引导', guideDone: '走完了！接着试试：拨快时钟，看超时会怎样',
  errors: {
    gone: '它已经不在了，或者你看不到它。', malformed: '这个请求不对。请刷新页面再试。', too_large: '太大了。文件不能超过 25 MB。',
    not_here: '演练场没有登录，只对本机开放。', not_yours: '只能修改或删除自己写的消息。', empty: '先写点什么。', internal: '我们这边出了点问题，请稍后再试。', network: '连不上 Paidan。请看看它是否还在运行，然后再试。',
  },
  bots: '工单', prefix: '@工单 ',
  chips: {
    customer: ['建单 ERP 登录不了，提示 E07', '我的', '帮助'], agent: ['待接', '我的', '超时', '帮助'], lead: ['待接', '超时', '我的', '帮助'], manager: ['设置', '超时', '待接', '帮助'], managerPrivate: ['超时', '待接', '帮助'],
    agentThread: ['接单', '回复 请重启后再试一次', '挂起 2h 等配件', '解决 已重置账号'], customerThread: ['催单', '~还是不行'], leadThread: ['优先级 P1', '升级 二线', '解决 已处理'], managerThread: ['查'],
  },
};

const en = {
  title: 'Playground', demo: 'Demo · no log-in', demoWhy: 'There is no log-in here: whoever opens the page can be anybody. Do not type real customer data.',
  youAre: 'You are', switchHint: 'click to switch', groups: 'Conversations', mine: 'My page', mineAbout: 'Tickets that concern you; only you see this',
  back: 'Back to conversations', members: '{n} people', members1: '{n} person', thread: 'Thread', threadClose: 'Close thread', replies: '{n} replies', replies1: '{n} reply', replyHere: 'Reply in thread',
  placeholderCustomer: 'Say something, or try “@ticket new ERP login fails”', placeholderCustomerShort: '@ticket and what is wrong', placeholderPrivate: 'Just say it, no @ needed: try “new printer jams”', placeholderPrivateShort: 'Just say it, no @ needed',
  placeholderAgent: 'Say something, or try “@ticket open”', placeholderAgentShort: 'Try “@ticket open”', placeholderManager: 'Say something, or try “@ticket settings”', placeholderManagerShort: 'Try “@ticket settings”', placeholderThread: 'Reply in thread…',
  send: 'Send', sendHint: 'Enter sends · Shift+Enter for a new line', attach: 'Add files', newTicket: 'New ticket form', remove: 'Remove {name}',
  onlyYou: 'Only you see this', dismiss: 'Dismiss', edited: 'edited', editing: 'Editing · Esc cancels', bot: 'bot', atYou: '@ you', you: 'you',
  more: 'More', cancel: 'Cancel', ok: 'OK', confirm: 'Please confirm', submit: 'Submit', close: 'Close', choose: 'Choose…', optional: 'optional',
  required: 'Please fill this in', edit: 'Edit', del: 'Delete', delSure: 'Delete this message?', makeTicket: 'Make a ticket of this', messageMenu: 'Message actions', react: 'React with {name}',
  clock: "The bot's time", clockWhy: 'Push the clock on and see what happens as deadlines come and pass', ahead: '{d} ahead', h1: '+1 hour', h8: '+8 hours', d1: '+1 day', advanced: 'Clock pushed on by {d}',
  hours: '{n} h', days: '{n} d', lang: '中文', langLabel: '切换到中文',
  offline: 'Connection lost, reconnecting…', earlier: 'Show earlier messages', loading: 'Opening…', today: 'Today', yesterday: 'Yesterday',
  pending: 'Received. Paidan is on it; the result will show here.', expand: 'Show all', collapse: 'Show less', empty: 'No messages yet', fileCard: '[file]', cardWord: '[card]',
  unread: '{n} unread', homeEmpty: 'Tickets that concern you will be listed here.', download: 'Download {name}', uploading: 'Uploading {name}…', persons: 'Be somebody else', menuFor: 'More actions',
  welcome: 'Paidan in three steps', w1: 'You are Wang Fang and something is broken: say so in the group, to @ticket', w1do: 'Fill in “new ERP login fails”', w2: 'Become Li Si, go to “IT service desk”, claim it and work on it', w2do: 'Become Li Si',
  w3: 'Once it is solved, become Wang Fang again and confirm. Her card has been kept current all along', w3do: 'Be Wang Fang', w4: 'The clock can be pushed on: see at once what happens when nobody cares', welcomePrivate: 'Just you and the bot', welcomePrivateText: 'No @ needed here. Try one of the words below.',
  welcomeDesk: 'New tickets come up here', welcomeDeskText: 'The buttons on a card are all you need. Cards change in place; nothing scrolls away.', welcomeDeskDo: 'Become Wang Fang and open a ticket',
  welcomeManagers: 'No desk uses this group yet', welcomeManagersText: 'The admin (Director Chen) says “@ticket settings” here and chooses what the group is for.', welcomeManagersDo: 'Fill in “settings”',
  g1: 'Wang Fang has a problem: open a ticket in the group', g1there: 'You are Wang Fang: tell @ticket what is wrong', g2: 'Become Li Si and claim it at the “IT service desk”', g2there: 'Claim it on the new card; when done, solve it', g3: 'Be Wang Fang again and look at her card', g3there: 'Her card was kept current: confirm that it is solved',
  fillIn: 'Fill in', guideClose: 'Close the guide', guideDone: 'That was all. Next: push the clock on and see what is late',
  errors: {
    gone: 'That is not there any more, or not for you to see.', malformed: 'That request made no sense. Reload the page and try again.', too_large: 'Too large. Files may have 25 MB.',
    not_here: 'The playground has no log-in and answers this machine only.', not_yours: 'Only what you wrote yourself can be changed or deleted.', empty: 'Write something first.', internal: 'Something is wrong on our side. Try again in a moment.', network: 'Paidan cannot be reached. See whether it is still running, then try again.',
  },
  bots: 'ticket', prefix: '@ticket ',
  chips: {
    customer: ['new ERP login fails with E07', 'mine', 'help'], agent: ['open', 'mine', 'overdue', 'help'], lead: ['open', 'overdue', 'mine', 'help'], manager: ['settings', 'overdue', 'open', 'help'], managerPrivate: ['overdue', 'open', 'help'],
    agentThread: ['take', 'reply please restart and try again', 'hold 2h waiting for parts', 'solve account was reset'], customerThread: ['nudge', '~still broken'], leadThread: ['prio P1', 'solve done'], managerThread: ['show'],
  },
};

export const words = { zh, en };
