// Package deploy holds what runs ApplyLens on real servers: the image, and the settings of the servers around it. Its
// tests hold these files and docker-compose.yml to the program as it is.
package deploy
