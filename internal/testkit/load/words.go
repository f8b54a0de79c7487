package load

import (
	"fmt"
	"math/rand/v2"
)

// category is a category of mail with the action that is proposed for it and its subjects.
type category struct {
	name, action string
	subjects     []string
}

var categories = []category{
	{"promo", "archive_email", []string{"Our biggest sale of the year", "A discount for you", "New in store", "Deal of the week"}},
	{"newsletter", "unsubscribe_via_header", []string{"Your weekly newsletter", "What we read this month", "Newsletter 42"}},
	{"event", "create_calendar_event", []string{"Meetup on Thursday", "Conference tickets", "Webinar: a reminder", "See you at the event"}},
	{"finance", "move_to_folder", []string{"Your invoice", "Receipt for your payment", "Order shipped: shipping details"}},
	{"applications", "label_email", []string{"Interview on Monday", "An offer from us", "Thank you for applying"}},
	{"social", "archive_email", []string{"Somebody mentioned you", "New followers"}},
	{"personal", "label_email", []string{"Lunch?", "Photos", "Re: the weekend"}},
}

var (
	domains = numbered("sender-%d.example", 300)
	lists   = numbered("list-%d.example", 120)
)

func numbered(format string, count int) []string {
	texts := make([]string, count)
	for i := range texts {
		texts[i] = fmt.Sprintf(format, i)
	}
	return texts
}

// skewed returns a random number of 0..count-1, small ones far more often.
func skewed(random *rand.Rand, count int) int {
	draw := random.Float64()
	return int(draw * draw * draw * float64(count))
}
