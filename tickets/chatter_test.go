package tickets

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// What is said, by what it is. One message a line.
const (
	greetings = `你好
您好！
在吗
在吗？
在么??
有人吗
有人在吗？
hi
Hello
HELLO!!
hey there
Good morning
早上好
下午好，各位
大家好
@李四 你好
你好，请问
请问一下
打扰一下
不好意思打扰了
hi all
Anyone there?
how are you?
👋
:wave:
嗨~
。。。
...
在嗎
哈喽
ｈｅｌｌｏ`

	thanks = `谢谢
谢谢！
谢谢谢谢
谢谢啦
好的
好的谢谢
好的，谢谢
好的好的
收到
收到，谢谢
已收到
收到！辛苦了
ok
OK
ok thx!
okkkk
Okay, thanks a lot
thanks
Thanks!
Thank you very much
thank you so much for your help
thx :)
ty
many thanks
got it
Got it, thanks!
noted
sure
sounds good
no problem
np
all good now, thanks
it works now, thank you!
perfect, thanks
great
cheers mate
麻烦了
麻烦您了
辛苦了
辛苦辛苦
嗯
嗯嗯
嗯嗯好的
好嘞
好滴
行
可以
可以的
没问题
没事了
明白了
了解
知道了
知道了，谢谢
不客气
不用谢
👌
👍👍👍
🙏
👌🏻
❤️
😀😀
好的👌
[OK]
[抱拳][抱拳]
谢谢[玫瑰]
:thumbsup:
:+1:
:+1::skin-tone-2:
+1
哈哈
哈哈哈哈哈
666
太好了
太棒了！
赞
给力
非常感谢
感谢感谢
十分感谢大家
谢谢李工
张老师辛苦了
@李四 谢谢
谢谢 @李四
好了，谢谢
可以了
可以了，谢谢
已经好了
现在好了
解决了，谢谢
问题已解决，谢谢
恢复正常了
能用了
现在可以用了，辛苦了
好的，那就麻烦您了
那好吧
好吧
哦哦
是的
对的
ＯＫ
Ｔｈａｎｋｓ
好的\n谢谢
你好，谢谢
hello, thanks
1
謝謝您
ありがとうございます
谢谢~
谢谢...
多谢多谢
3q
lol
you're welcome
that's great, thanks
ok great thank you all`

	contents = `
?
？？？
...?
12
1024
你好，打印机坏了
在吗，VPN 连不上
谢谢，还是不行
好的，但是还没好
还是不行
不行
没好
没收到
没解决
不可以
不好
不好用
好了吗
好了吗？
好的?
ok?
收到了吗
收到了吗？
解决了吗
可以吗
什么时候能好
打印机坏了
打不开
登录不了
请帮我重置密码
谢谢帮我重置密码
麻烦帮我看下打印机
麻烦看一下
辛苦处理一下 #1024
请问怎么连 VPN
请问 VPN 怎么连？
hi, my laptop is dead
hello can you reset my password
thanks but it is still broken
thanks, but still not working
not working
no
not ok
it doesn't work
doesn't work now
it works on my phone but not on my laptop
ok but when?
help
help me
VPN
E07
密码
ERP 登录失败
[图片]
[文件] 报错.png
[紧急] 服务器宕机
[紧急]
👎
谢谢👎
:thumbsdown:
❌
😡
:x:
https://example.com/a
谢谢 https://example.com/a
收到报错 500
收到一封可疑邮件
好的打印机在哪
好多人打不开
可以登录但打不开报表
知道密码怎么改吗
明白是什么原因吗
对账单打不开
是打印机的问题
早上打不开
早上好像断网了
在线客服打不开
感谢信模板丢了
行政部的打印机坏了
中午断网
得重启
成都办公室断网
赞助合同审批不了
牛奶洒在键盘上了
嗯 那什么时候修
OK 键坏了
thanks page shows 404
good morning, the printer is out of paper
great, now outlook crashes
yes the second one
退款
@李四
@李四 看一下
@李四 打印机坏了`
)

func TestChatter(t *testing.T) {
	rows := 0
	for kind, list := range map[string]string{"greeting": greetings, "thanks": thanks, "content": contents} {
		for text := range strings.SplitSeq(list, "\n") {
			rows++
			text = strings.ReplaceAll(text, `\n`, "\n")
			if got, want := Chatter(text), kind != "content"; got != want {
				t.Errorf("Chatter(%q) = %v, want %v", text, got, want)
			}
			if got, want := Thanks(text), kind == "thanks"; got != want {
				t.Errorf("Thanks(%q) = %v, want %v", text, got, want)
			}
		}
	}
	if rows < 120 {
		t.Errorf("only %d rows", rows)
	}
}

// Whatever is added to a problem in politeness, it remains a problem.
func TestPolitenessHidesNoContent(t *testing.T) {
	for problem := range strings.SplitSeq("打印机坏了\nVPN is down\n还是不行\n登录失败 E07", "\n") {
		for polite := range strings.SplitSeq(greetings+"\n"+thanks, "\n") {
			for _, text := range []string{polite + "，" + problem, problem + "，" + polite, polite + "\n" + problem} {
				if Chatter(text) {
					t.Errorf("Chatter(%q)", text)
				}
			}
		}
	}
}

func TestChatterIsQuickOnLongText(t *testing.T) {
	for _, unit := range []string{"谢", "ok ", "[OK]", ":+1:", "👍", "@a ", "~", "\xff"} {
		text := strings.Repeat(unit, 100_000/len(unit))
		begin := time.Now()
		if Chatter(text) {
			t.Errorf("100 kB of %q is chatter", unit)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("100 kB of %q took %s", unit, took)
		}
	}
}

func FuzzChatter(f *testing.F) {
	for text := range strings.SplitSeq(greetings+thanks+contents, "\n") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if Thanks(text) && !Chatter(text) {
			t.Fatal("thanks that is no chatter")
		}
		if utf8.ValidString(text) && Chatter(text) && Chatter(text+" 打印机坏了") {
			t.Fatalf("%q hides a problem", text)
		}
	})
}

func BenchmarkChatter(b *testing.B) {
	for _, text := range []string{"好的，谢谢！", "昨晚升级后提示 E07，10 人受影响，请尽快处理"} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Chatter(text)
			}
		})
	}
}
