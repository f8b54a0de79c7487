// Package deploy contains the files that run ApplyLens on real servers: the image, Prometheus, example settings and a script for
// passwords. Its
// tests check these files and docker-compose.yml against the program.
package deploy
