"""Several runs with a plan between them: who plans, who works, who looks at it, and how often.

Owns templates, the hand-offs between steps, the order of steps, and going on after a crash. Does not own a run, nor
how many live at once (`batch`).
Invariant: what one agent hands to the next fits a JSON Schema and stands in a fence; a template names no program,
login, sandbox or budget: what may be written and which command checks it is said by whoever starts the workflow.

    handoffs.py   the JSON Schemas of what is handed on
    template.py   a template: steps, a loop, and when it is over (pure)
    templates/    those that come along
    journal.py    what a workflow has come to, so that it can go on
    engine.py     doing the steps
"""
