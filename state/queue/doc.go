// Package queue is the directory through which an agent's proposals reach a person, and the answers the agent. Two
// sides share it, either of which may crash and restart: the supervise sidecar, inside the bottle, and the controller,
// which trusts nothing that it finds here but its own answers.
//
// A proposal is the file <id>.proposal.json; its answer is <id>.answer.json. Both are written once, atomically, and
// never replaced. A proposal without an answer is pending, whether a call waits for it or not. The first answer wins.
// The asking side removes both files some time after it has delivered the answer, so the effects of an approval must be
// persisted before the answer is. An answer that nobody fetches is kept for AnswerAge, as long as there is space.
package queue
