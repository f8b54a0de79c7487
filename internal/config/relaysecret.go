package config

// RelaySecret has the master secret of the keys by which the relay signs what it publishes.
type RelaySecret struct {
	RelaySecret     Secret `name:"relay-secret" help:"Master secret of the relay's keys: 32 random bytes or more, as text. Keep it outside of the database and its backups." env:"RELAY_SECRET"`
	RelaySecretFile string `name:"relay-secret-file" help:"File that contains the master secret of the relay's keys." env:"RELAY_SECRET_FILE" type:"path"`
}

// Secret returns the master secret, nil if it is not set.
func (r *RelaySecret) Secret() ([]byte, error) {
	secret, err := fromFile(r.RelaySecret, r.RelaySecretFile, "relay-secret")
	if err != nil || secret == "" {
		return nil, err
	}
	return []byte(secret), nil
}
