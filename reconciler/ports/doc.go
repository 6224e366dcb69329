// Package ports keeps listeners on the host equal to the ports that bottles declare, and connects their clients with the agents
// ([Server]). The bytes go through each bottle's ingress (package relay).
package ports
