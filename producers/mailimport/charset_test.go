package mailimport

import (
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
)

func encode(t *testing.T, e encoding.Encoding, text string) string {
	t.Helper()
	raw, err := e.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestDecodeText(t *testing.T) {
	f := func(name, raw, label, want string) {
		t.Run(name, func(t *testing.T) {
			if got := decodeText([]byte(raw), label); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	f("UTF-8", "café", "UTF-8", "café")
	f("Latin 1", "caf\xe9", "iso-8859-1", "café")
	f("quotes that Latin 1 does not have", "\x93caf\xe9\x94", "ISO-8859-1", "“café”")
	f("quoted name of the set", "caf\xe9", `"latin1"`, "café")
	f("name of the set twice", "caf\xe9", "charset=iso-8859-1", "café")
	f("Latin 9", "\xa4", "iso-8859-15", "€")
	f("KOI8-R", encode(t, charmap.KOI8R, "Привет"), "koi8-r", "Привет")
	f("Windows-1251", encode(t, charmap.Windows1251, "Привет"), "windows-1251", "Привет")
	f("ISO-2022-JP", encode(t, japanese.ISO2022JP, "こんにちは"), "iso-2022-jp", "こんにちは")
	f("Shift_JIS", encode(t, japanese.ShiftJIS, "こんにちは"), "x-sjis", "こんにちは")
	f("GB2312", encode(t, simplifiedchinese.GBK, "你好"), "gb2312", "你好")
	f("GBK by its code page", encode(t, simplifiedchinese.GBK, "你好"), "cp936", "你好")
	f("HZ", encode(t, simplifiedchinese.HZGB2312, "你好"), "hz-gb-2312", "你好")
	f("Big5", encode(t, traditionalchinese.Big5, "你好"), "big5", "你好")
	f("EUC-KR", encode(t, korean.EUCKR, "안녕하세요"), "ks_c_5601-1987", "안녕하세요")
	f("IBM 850", encode(t, charmap.CodePage850, "café"), "cp850", "café")
	f("UTF-7", "Hi Mom -+Jjo--! 1 +- 1 +AOk-", "utf-7", "Hi Mom -☺-! 1 + 1 é")
	f("broken UTF-7", "a +\xff b +!!", "utf-7", "a +\uFFFD b +!!")
	f("UTF-16", encode(t, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), "café"), "utf-16", "café")
	f("UTF-16 without a mark", encode(t, unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), "café"), "utf-16be", "café")
	f("UTF-8 with a mark", "\xef\xbb\xbfcafé", "", "café")

	f("declared as Latin 1, but UTF-8", "café", "iso-8859-1", "café")
	f("declared as UTF-8, but Windows-1252", "caf\xe9 cr\xe8me", "utf-8", "café crème")
	f("UTF-8 with a wrong byte", "café crème \xe9", "utf-8", "café crème \uFFFD")
	f("declared as ASCII, but Windows-1252", "it\x92s", "us-ascii", "it’s")
	f("declared as Chinese, but Western European", "caf\xe9 cr\xe8me \xe0 la", "gb2312", "café crème à la")
	f("a Chinese character cut in two", encode(t, simplifiedchinese.GBK, strings.Repeat("你好", 20))+"\xc4", "gb2312", strings.Repeat("你好", 20)+"\uFFFD")
	f("unknown set", "caf\xe9", "x-unknown", "café")
	f("no escapes of the declared set", "caf\xe9", "iso-2022-kr", "café")
	f("ISO-2022-KR", "\x1b$)C\x0e>H3gGO<<?d\x0f, Ann\n", "iso-2022-kr", "안녕하세요, Ann\n")
	f("ISO-2022-KR, undeclared", "\x1b$)CA\x0e>H3g\x0f", "", "A안녕")
	f("ISO-2022-JP, undeclared", encode(t, japanese.ISO2022JP, "こんにちは, Ann"), "", "こんにちは, Ann")
	f("ISO-2022-JP, declared as ASCII", encode(t, japanese.ISO2022JP, "こんにちは"), "us-ascii", "こんにちは")
	f("an escape sequence of a terminal", "\x1b[1mbold\x1b[0m", "", "\x1b[1mbold\x1b[0m")
	for label, set := range map[string]encoding.Encoding{
		"CHINESEBIG5": traditionalchinese.Big5, "big-5": traditionalchinese.Big5, "big5-eten": traditionalchinese.Big5, "x-gb2312": simplifiedchinese.GBK, "GB_2312-80": simplifiedchinese.GBK,
		"gb-18030": simplifiedchinese.GB18030, "X-GBK": simplifiedchinese.GBK, "windows-31j": japanese.ShiftJIS, "sjis": japanese.ShiftJIS, "EUCJP": japanese.EUCJP,
		"ks_c_5601": korean.EUCKR, "euc_kr": korean.EUCKR, "cp949": korean.EUCKR, "win-1251": charmap.Windows1251, "CP-1251": charmap.Windows1251, "ansi-1251": charmap.Windows1251,
		"koi8": charmap.KOI8R, "iso8859_5": charmap.ISO8859_5, "8859-5": charmap.ISO8859_5, "iso-8859-5:1988": charmap.ISO8859_5, "dos-866": charmap.CodePage866,
	} {
		text := "Привет"
		if _, single := set.(*charmap.Charmap); !single {
			text = "一二三"
		}
		f(label, encode(t, set, text), label, text)
	}
}

// TestGuess checks texts without a declaration that are long enough for a guess.
func TestGuess(t *testing.T) {
	f := func(name string, e encoding.Encoding, text string) {
		t.Run(name, func(t *testing.T) {
			if got := decodeText([]byte(encode(t, e, text)), ""); got != text {
				t.Errorf("got %q", got)
			}
		})
	}
	f("simplified Chinese", simplifiedchinese.GBK, "第十一届中国国际电子设备、电子元器件展览会将于九月在上海举行，欢迎您参加。")
	f("traditional Chinese", traditionalchinese.Big5, "免費無限次任打中港長途電話，請立即登入我們的網站了解更多詳情。")
	f("Japanese", japanese.ShiftJIS, "突然のメール失礼いたします。今後この広告がご不要な方はその旨をお送り下さい。")
	f("Japanese in EUC-JP", japanese.EUCJP, "突然のメール失礼いたします。今後この広告がご不要な方はその旨をお送り下さい。")
	f("Korean", korean.EUCKR, "안녕하세요. 귀하의 승낙없이 홍보성 전자우편을 보내게 된 점 정중히 사과드립니다.")
	f("Russian", charmap.KOI8R, "Здравствуйте! Приглашаем вас принять участие в нашем семинаре.")
	f("Russian in Windows-1251", charmap.Windows1251, "Здравствуйте! Приглашаем вас принять участие в нашем семинаре.")
	f("French", charmap.Windows1252, "Voilà l’été : à la plage, le café crème coûte très cher où que vous alliez, même après la fête ; hélas, ça gêne l’élève.")
	f("German", charmap.Windows1252, "Über süße Äpfel für müde Köche könnten wir täglich schöne Bücher schreiben, größer als nötig und höher als üblich.")
	f("Turkish letters are read as Western ones", charmap.Windows1252, "çok güzel")
}
