// Package approval decides which proposals of an agent are approved without a person, and how long the others wait. It is pure: what
// holds is in the bottle's manifest and in the policy of the directory.
package approval
