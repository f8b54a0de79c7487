package domain

import "strings"

// Open tells whether anybody can have an address at a registrable domain, so that its name says nothing about a sender. Features that
// are kept for ever depend on the answer: a change of the lists needs another feature rule.
func Open(domain string) bool {
	label, _, _ := strings.Cut(domain, ".")
	return openDomains[domain] || openLabels[label]
}

var (
	// openLabels are what domains of a provider in many countries begin with.
	openLabels = set("aol fastmail gmail gmx googlemail hotmail icloud msn outlook protonmail rocketmail tutanota yahoo ymail")

	openDomains = set("126.com 163.com alice.it arcor.de att.net bellsouth.net bigpond.com bk.ru bluewin.ch bol.com.br btinternet.com " +
		"centrum.cz charter.net comcast.net cox.net daum.net duck.com earthlink.net email.cz foxmail.com free.fr freenet.de guerrillamail.com " +
		"hanmail.net hey.com hushmail.com inbox.ru interia.pl juno.com keemail.me laposte.net libero.it list.ru live.ca live.co.uk live.com live.de " +
		"live.fr live.it live.nl lycos.com mac.com mail.com mail.de mail.ru mailbox.org mailinator.com me.com naver.com netscape.net netzero.net neuf.fr " +
		"o2.pl onet.pl optonline.net orange.fr passport.com pm.me posteo.de proton.me qq.com rambler.ru rediffmail.com runbox.com sbcglobal.net " +
		"seznam.cz sfr.fr sina.com sohu.com sympatico.ca t-online.de telenet.be terra.com.br tiscali.it tuta.com tuta.io tutamail.com ukr.net uol.com.br " +
		"usa.com verizon.net virgilio.it wanadoo.fr web.de wp.pl yandex.com yandex.ru yeah.net ziggo.nl zoho.com zoho.eu zohomail.com zohomail.eu")
)

func set(names string) map[string]bool {
	known := map[string]bool{}
	for _, name := range strings.Fields(names) {
		known[name] = true
	}
	return known
}
