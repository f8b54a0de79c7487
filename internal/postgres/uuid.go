package postgres

// UUIDs returns ids in a form that pgx takes for uuid[].
func UUIDs[T ~[16]byte](ids []T) [][16]byte {
	list := make([][16]byte, len(ids))
	for i, id := range ids {
		list[i] = id
	}
	return list
}
