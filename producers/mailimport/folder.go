package mailimport

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// folder is what a message's place in a mailbox says of it.
type folder uint8

// The folders that people do not look at. What is in one of them is left out unless the import is to have it.
const (
	noFolder folder = iota // any other
	trash
	drafts
	junk
)

// folderNames are the names of folders and of Gmail's labels in the languages of gmailTabs, in lower case.
var folderNames = func() map[string]folder {
	known := map[string]folder{}
	for kind, names := range map[folder]string{
		trash: "trash|bin|deleted|deleted items|deleted messages|papierkorb|gelöscht|gelöschte elemente|gelöschte objekte|corbeille|éléments supprimés|" +
			"messages supprimés|papelera|elementos eliminados|cestino|posta eliminata|elementi eliminati|lixeira|lixo|itens excluídos|itens eliminados|" +
			"prullenbak|verwijderde items|koš|odstraněná pošta",
		drafts: "draft|drafts|entwurf|entwürfe|brouillon|brouillons|borradores|bozze|rascunhos|concepten|koncepty",
		junk: "junk|junk mail|junk email|junk e-mail|junk-e-mail|bulk mail|spam|spam mail|spamverdacht|unerwünscht|unerwünschte werbung|indésirables|courrier indésirable|" +
			"pourriel|correo no deseado|no deseado|posta indesiderata|indesiderata|lixo eletrônico|lixo eletrónico|ongewenste e-mail|ongewenst|nevyžádaná pošta|nevyžádané",
	} {
		for name := range strings.SplitSeq(names, "|") {
			known[name] = kind
		}
	}
	return known
}()

// folderEndings are what mail programs append to the names of folders.
var folderEndings = regexp.MustCompile(`(?i)\.(?:mbox|mbx|imapmbox|sbd|gz)$`)

// folderOf returns the folder that a path below the directory of an import lies in. Maildirs have the names of all levels in one, and
// names in IMAP's form of UTF-7: ".INBOX.Entw&APw-rfe".
func folderOf(path string) folder {
	for part := range strings.SplitSeq(filepath.ToSlash(path), "/") {
		names := []string{folderEndings.ReplaceAllString(folderEndings.ReplaceAllString(part, ""), "")}
		if levels.MatchString(part) {
			names = strings.Split(part, ".")
		}
		for _, name := range names {
			decoded := strings.ToLower(decodeUTF7([]byte(asUTF7.Replace(name))))
			if kind := folderNames[decoded]; kind != noFolder && !ambiguous[decoded] {
				return kind
			}
		}
	}
	return noFolder
}

// asUTF7 turns the letters of IMAP's form of UTF-7 into those of UTF-7.
var asUTF7 = strings.NewReplacer("&", "+", ",", "/")

// ambiguous are names of labels that directories have for other reasons.
var ambiguous = map[string]bool{"bin": true, "deleted": true, "lixo": true}

// levels matches a name that has those of several levels.
var levels = regexp.MustCompile(`(?i)^(?:\.|inbox\.|\[g[a-z ]*mail\]\.)`)

// maildirFlags are the flags in the name of a file of a Maildir: T for trashed, D for a draft.
var maildirFlags = regexp.MustCompile(`[:;!]2,([A-Za-z]*)$`)

// folderOfFile returns the folder of a file of a Maildir by its flags.
func folderOfFile(name string) folder {
	if found := maildirFlags.FindStringSubmatch(name); found != nil {
		return flagged(strings.Contains(found[1], "T"), strings.Contains(found[1], "D"))
	}
	return noFolder
}

func flagged(deleted, draft bool) folder {
	switch {
	case deleted:
		return trash
	case draft:
		return drafts
	}
	return noFolder
}

// mozillaExpunged is the bit of X-Mozilla-Status of a message that Thunderbird has deleted and not yet taken from the file.
const mozillaExpunged = 0x8

// folder returns where a message is by its own headers: Gmail's labels, and in an mbox, where mail programs keep them, Thunderbird's
// flags, or those of c-client and mutt. Elsewhere only a sender has written those.
func (m *message) folder() folder {
	for _, label := range m.labels {
		if kind := folderNames[strings.ToLower(label)]; kind != noFolder {
			return kind
		}
	}
	if m.raw.Envelope == "" {
		return noFolder
	}
	if flags, err := strconv.ParseUint(strings.TrimSpace(m.get("X-Mozilla-Status")), 16, 32); err == nil && flags&mozillaExpunged != 0 {
		return trash
	}
	status := m.get("X-Status")
	return flagged(strings.Contains(status, "D"), strings.Contains(status, "T"))
}
