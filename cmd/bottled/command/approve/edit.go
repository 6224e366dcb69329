package approve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
)

// remark begins the lines that are not of the file: a manifest may have comments of its own.
const remark = "#bottled: "

// decideEdited has a person edit the file as it would be, and approves what is saved. The controller checks it like any manifest; what is
// wrong is shown in the editor again.
func (o *Options) decideEdited(ctx context.Context, r reconciler.Review, decision reconciler.DecisionRequest) error {
	content, problem := r.Edited, ""
	for {
		saved, err := o.edit(ctx, r, content, problem)
		switch {
		case err != nil:
			return err
		case strings.TrimSpace(saved) == "":
			return errors.New("nothing was approved: the file was saved empty")
		case saved == content && problem != "":
			return keep(r, saved, fmt.Errorf("nothing was approved: the file was not corrected: %s", problem))
		case saved == r.Edited:
			return errors.New("nothing was approved: the file was not changed; to approve it as it is, leave out --edit")
		}
		decision.Edited = &saved
		if err = o.Service.Decide(ctx, r.ID, decision); err == nil {
			return nil
		}
		if !errors.Is(err, reconciler.ErrDecision) || !o.stillWaits(ctx, r) {
			return keep(r, saved, err)
		}
		content, problem = saved, err.Error()
	}
}

// stillWaits reports whether a proposal and what it changes are as they were shown, so that an edited file was refused for its content.
func (o *Options) stillWaits(ctx context.Context, r reconciler.Review) bool {
	now, err := o.Service.Review(ctx, r.ID)
	return err == nil && now.State == reconciler.ProposalWaiting && now.Digest == r.Digest
}

func (o *Options) edit(ctx context.Context, r reconciler.Review, content, problem string) (string, error) {
	var text bytes.Buffer
	for _, line := range remarks(r, problem) {
		text.WriteString(remark + printable.Line(line) + "\n")
	}
	text.WriteString(content)
	saved, err := o.Edit(ctx, filepath.Base(r.File), text.Bytes())
	if err != nil {
		return "", err
	}
	var rest strings.Builder
	for line := range strings.Lines(string(saved)) {
		if !strings.HasPrefix(line, strings.TrimSpace(remark)) {
			rest.WriteString(line)
		}
	}
	return rest.String(), nil
}

// remarks tell who edits what the file is, and what is wrong with it.
func remarks(r reconciler.Review, problem string) []string {
	lines := []string{
		fmt.Sprintf("%s with what the agent of bottle %s asks for: %s", r.File, r.Bottle, report.Short(report.Flat(r.Summary))),
		"What you save is approved. Saved empty or unchanged, nothing is. Lines like this one are left out.",
	}
	if problem != "" {
		lines = append(lines, "It was not taken:")
		for line := range strings.Lines(problem) {
			lines = append(lines, "  "+strings.TrimRight(line, "\n"))
		}
	}
	return lines
}

// keep saves what was edited in vain, and adds where to an error.
func keep(r reconciler.Review, saved string, why error) error {
	file, err := os.CreateTemp("", "bottled-*-"+filepath.Base(r.File))
	if err != nil {
		return errors.Join(why, err)
	}
	_, err = file.WriteString(saved)
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(why, err)
	}
	return fmt.Errorf("%w\nWhat you wrote is in %s", why, file.Name())
}
