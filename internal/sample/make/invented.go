package main

import (
	"fmt"
	"slices"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/sample"
)

// invented returns mail about meetups, purchases and job applications, and of social networks, which the mail of 2002 hardly has. Its people,
// companies and domains do not exist.
func invented() []made {
	kinds := [][]made{meetups(), webinars(), purchases(), applications(), promotions()}
	var all []made
	for i := range slices.MaxFunc(kinds, func(a, b []made) int { return len(a) - len(b) }) {
		for _, kind := range kinds {
			if i < len(kind) {
				all = append(all, kind[i])
			}
		}
	}
	all = append(all, notices()...)
	for i := range all {
		all[i].id = fmt.Sprintf("invented-%03d@sample.home.example", i+1)
		all[i].to = sample.Owner
	}
	return all
}

// notices returns what social networks send.
func notices() []made {
	var all []made
	subjects := []string{"%s commented on your photo", "%s mentioned you", "%s started following you", "%s sent you a message", "%s wants to connect"}
	for i := range 12 {
		all = append(all, made{
			from:        events.Address{Name: "Lanterna", Address: "notifications@lanterna.example"},
			subject:     fmt.Sprintf(subjects[i%len(subjects)], person(i+60)),
			unsubscribe: true,
			text:        "Hello Sam,\n\nsee what is new on Lanterna.\n\nYou can choose which notices we send you.\n",
		})
	}
	return all
}

func meetups() []made {
	topics := []string{"generics in practice", "a tour of the scheduler", "writing parsers by hand", "queues without tears",
		"profiling a web server", "fuzzing for beginners", "embedding databases", "what a context is for", "testing with real servers",
		"small binaries", "reading other people's code", "lightning talks", "error handling", "time and time zones", "plain text formats",
		"maps and memory", "a year in production", "drawing with the standard library"}
	var all []made
	for i, topic := range topics {
		all = append(all, made{
			from:        events.Address{Name: "Harbour Gophers", Address: "events@gophers.example"},
			subject:     fmt.Sprintf("Meetup #%d: %s", 40+i, topic),
			listID:      "meetup.gophers.example",
			unsubscribe: true,
			text: fmt.Sprintf("Hello,\n\nour next meetup is on Thursday at 18:30 in the reading room of the Harbour Library, Lisbon.\n"+
				"Topic: %s. Speaker: %s.\n\nDoors open at 18:00, there is tea. Please RSVP so that we know how many chairs we need.\n\n"+
				"Harbour Gophers\n", topic, person(i)),
		})
	}
	for i, topic := range topics[:8] {
		all = append(all, made{
			from:        events.Address{Name: "Data Evenings", Address: "hello@evenings.example"},
			subject:     "Data Evenings meetup: " + topic,
			listID:      "talks.evenings.example",
			unsubscribe: true,
			text: fmt.Sprintf("Dear members,\n\n%s speaks about %s next Tuesday, 19:00, Mill Street 4, Porto.\n"+
				"Free entry. RSVP by Sunday.\n", person(i+20), topic),
		})
	}
	return all
}

func webinars() []made {
	titles := []string{"Webinar: event streams for small teams", "Invitation: workshop on database migrations", "Conference programme is online",
		"Webinar: what search engines really do", "Save the date: Northern Systems Conference", "Workshop: accessible web pages",
		"Webinar: reading query plans", "Reminder: your workshop is on Friday"}
	var all []made
	for i, title := range titles {
		all = append(all, made{
			from:        events.Address{Name: "Northern Systems", Address: "programme@northern-systems.example"},
			subject:     title,
			unsubscribe: true,
			text: fmt.Sprintf("Good morning,\n\nwe would be glad to see you. Host: %s.\nPlace: online, and at the Old Brewery, Bergen.\n"+
				"Begins at 10:00 and ends at 12:00.\n\nNorthern Systems\n", person(i+40)),
		})
	}
	return all
}

// purchases returns receipts in three currencies, among them a duplicate purchase within days, and a refund.
func purchases() []made {
	type purchase struct{ merchant, domain, subject, total string }
	list := []purchase{
		{"Paper & Pen", "paper-pen.example", "Your receipt from Paper & Pen", "$24.90"},
		{"Cloud Shelf", "cloudshelf.example", "Invoice 2041 for your storage plan", "€12,50"},
		{"Corner Roastery", "roastery.example", "Order confirmation: two bags of beans", "£18.40"},
		{"Cloud Shelf", "cloudshelf.example", "Invoice 2042 for your storage plan", "€12,50"},
		{"Railway Kiosk", "kiosk.example", "Your payment receipt", "€3,20"},
		{"Lantern Books", "lantern-books.example", "Your order has been shipped", "$41.00"},
		{"Lantern Books", "lantern-books.example", "Refund for your order", "-$41.00"},
		{"City Power", "citypower.example", "Your bill for this month", "€86,17"},
		{"Tiny Hosting", "tinyhosting.example", "Payment received, thank you", "$5.00"},
		{"Tiny Hosting", "tinyhosting.example", "Payment received, thank you", "$5.00"},
		{"Green Grocer", "grocer.example", "Receipt for your purchase", "£32.75"},
		{"Swim Hall", "swimhall.example", "Invoice: ten visits", "€55,00"},
		{"Paper & Pen", "paper-pen.example", "Your receipt from Paper & Pen", "$9.80"},
		{"Bike Clinic", "bikeclinic.example", "Your invoice for the repair", "€1.064,00"},
		{"Cloud Shelf", "cloudshelf.example", "Invoice 2043 for your storage plan", "€12,50"},
		{"Museum of Maps", "mapmuseum.example", "Order confirmation: two tickets", "$1,234.56"},
	}
	var all []made
	for i, p := range list {
		all = append(all, made{
			from:    events.Address{Name: p.merchant, Address: "orders@" + p.domain},
			subject: p.subject,
			text: fmt.Sprintf("Thank you, Sam.\n\nReference: %s-%04d\nItems: 1\nTotal: %s\n\nKeep this message for your records.\n%s\n",
				p.domain[:3], 1700+37*i, p.total, p.merchant),
		})
	}
	return all
}

func applications() []made {
	firms := []struct{ name, domain, role string }{
		{"Acme", "acme.example", "Platform Engineer"}, {"Northwind Freight", "northwind-freight.example", "Backend Developer"},
		{"Bluebird Health", "bluebird-health.example", "Data Engineer"}, {"Quarry Labs", "quarrylabs.example", "Search Engineer"},
		{"Tidewater", "tidewater.example", "Site Reliability Engineer"},
	}
	var all []made
	add := func(i int, subject, text string) {
		firm := firms[i]
		all = append(all, made{
			from:    events.Address{Name: person(i+60) + " (" + firm.name + ")", Address: "recruiter@" + firm.domain},
			subject: fmt.Sprintf(subject, firm.role, firm.name),
			text:    fmt.Sprintf("Hello Sam,\n\n%s\n\nKind regards,\n%s\nRecruiter, %s\n", text, person(i+60), firm.name),
		})
	}
	for i := range firms {
		add(i, "Your application for %s at %s", "thank you for applying. We have received everything and come back to you within two weeks.")
	}
	for i := range firms[:4] {
		add(i, "Interview invitation: %s at %s", "we enjoyed reading your application and would like to talk. Does Wednesday at 14:00 suit you? The talk takes 45 minutes.")
	}
	for i := range firms[:3] {
		add(i, "Next steps with your application as %s at %s", "the team would like to meet you on site. I will send a programme for the day.")
	}
	add(0, "Offer letter: %s at %s", "I am glad to send you our offer. Please find the letter in our portal and let me know what you think by next Friday.")
	return all
}

func promotions() []made {
	goods := []string{"winter coats", "desk lamps", "running shoes", "garden chairs", "teapots", "notebooks", "rucksacks", "headphones", "bed linen", "bicycle lights"}
	var all []made
	for i, thing := range goods {
		all = append(all, made{
			from:        events.Address{Name: "Outfit & Co", Address: "offers@outfit.example"},
			subject:     []string{"%d%% off all %s", "Sale: up to %d%% off %s", "This weekend: %d%% discount on %s"}[i%3],
			unsubscribe: true,
			text: fmt.Sprintf("Only for a few days: better prices on %s, in the shop and online. Delivery is free above $40.\n\n"+
				"To unsubscribe, follow the link in your account.\n", thing),
		})
		all[i].subject = fmt.Sprintf(all[i].subject, 10+5*(i%6), thing)
	}
	return all
}

func person(i int) string {
	return firstNames[i%len(firstNames)] + " " + lastNames[(i*7+3)%len(lastNames)]
}
