package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
)

// Elasticsearch has the settings of the search index. Without an address there is no index.
type Elasticsearch struct {
	ElasticsearchURL          []string `name:"elasticsearch-url" help:"Addresses of Elasticsearch, such as https://search.example.org:9200." env:"ELASTICSEARCH_URL" placeholder:"URL,..."`
	ElasticsearchUsername     string   `name:"elasticsearch-username" help:"User name." env:"ELASTICSEARCH_USERNAME"`
	ElasticsearchPassword     Secret   `name:"elasticsearch-password" help:"Password." env:"ELASTICSEARCH_PASSWORD"`
	ElasticsearchPasswordFile string   `name:"elasticsearch-password-file" help:"File that contains the password." env:"ELASTICSEARCH_PASSWORD_FILE" type:"path"`
	ElasticsearchAPIKey       Secret   `name:"elasticsearch-api-key" help:"Encoded API key, instead of a user." env:"ELASTICSEARCH_API_KEY"`
	ElasticsearchAPIKeyFile   string   `name:"elasticsearch-api-key-file" help:"File that contains the API key." env:"ELASTICSEARCH_API_KEY_FILE" type:"path"`
	ElasticsearchCAFile       string   `name:"elasticsearch-ca-file" help:"PEM file of the certificate authorities of Elasticsearch." env:"ELASTICSEARCH_CA_FILE" type:"path"`
	ElasticsearchAlias        string   `name:"elasticsearch-alias" help:"Alias for searches; each deployment on a cluster needs its own." env:"ELASTICSEARCH_ALIAS" default:"emails"`
}

// Given reports whether there is an address.
func (e *Elasticsearch) Given() bool { return len(e.ElasticsearchURL) > 0 }

var aliasName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)

// Require returns an error if there is no address.
func (e *Elasticsearch) Require() error {
	if e.Given() {
		return nil
	}
	return errors.New("no Elasticsearch: set --elasticsearch-url or ELASTICSEARCH_URL (http://host:port)")
}

// Validate lists every fault of the settings. A missing address is not a fault.
func (e *Elasticsearch) Validate() error {
	var faults []error
	for _, text := range e.ElasticsearchURL {
		faults = append(faults, e.checkURL(text))
	}
	var err error
	if e.ElasticsearchPassword, err = fromFile(e.ElasticsearchPassword, e.ElasticsearchPasswordFile, "elasticsearch-password"); err != nil {
		faults = append(faults, err)
	}
	if e.ElasticsearchAPIKey, err = fromFile(e.ElasticsearchAPIKey, e.ElasticsearchAPIKeyFile, "elasticsearch-api-key"); err != nil {
		faults = append(faults, err)
	}
	e.ElasticsearchPasswordFile, e.ElasticsearchAPIKeyFile = "", "" // so that Validate can be called again
	if (e.ElasticsearchUsername == "") != (e.ElasticsearchPassword == "") {
		faults = append(faults, errors.New("--elasticsearch-username and --elasticsearch-password must be set together"))
	}
	if e.ElasticsearchUsername != "" && e.ElasticsearchAPIKey != "" {
		faults = append(faults, errors.New("--elasticsearch-username and --elasticsearch-api-key are both set: keep one"))
	}
	if !aliasName.MatchString(e.ElasticsearchAlias) {
		faults = append(faults, fmt.Errorf("--elasticsearch-alias: %q must have 1 to 100 characters of a-z, 0-9, dot, dash and underscore", e.ElasticsearchAlias))
	}
	return errors.Join(faults...)
}

func (e *Elasticsearch) checkURL(text string) error {
	address, err := url.Parse(text)
	switch {
	case err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https":
		return errors.New("--elasticsearch-url is not http://host:port or https://host:port")
	case address.User != nil:
		return errors.New("--elasticsearch-url contains a user: use --elasticsearch-username and --elasticsearch-password")
	case e.ElasticsearchCAFile != "" && address.Scheme != "https":
		return errors.New("--elasticsearch-ca-file needs an https address")
	}
	return nil
}
