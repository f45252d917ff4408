//! Scripts in `../scripts` execute an ensemble step by step and print what it searches and lists.
//!
//! `ensemble EXPR` begins one: a leaf is a name, used once; `rank(2*a b@40)` and `score(…)` are
//! parallels, with weights and timeouts in milliseconds; `product(…)`, `chain(…)`, `seq(…)`.
//! `ask count=N [only="a,b"]` says what for. `answer LEAF item=score …`, `absent LEAF` tell what became of
//! a leaf. Each prints what comes next, once it is said what for.

use crate::planning::ensemble_tree::EnsembleShape;
use goldenscript::{Command, Context};
use marquee_core::ensemble::{EnsembleNode, ProductForm, WeightedNode};
use marquee_core::id::ModelVersion;
use std::error::Error;
use std::fmt::Write as _;

#[derive(Default)]
struct Runner {
    names: Vec<String>,
    shape: Option<EnsembleShape>,
    states: Vec<LeafState>,
    scope: Option<Scope>,
}

impl Runner {
    fn next(&mut self) -> Result<String, Box<dyn Error>> {
        let shape = self.shape.as_ref().ok_or("which ensemble?")?;
        let Some(scope) = &self.scope else { return Ok(String::new()) };
        let mut text = String::new();
        match shape.tree.evaluate(&mut self.states, scope) {
            Step::Search(queries) => {
                for LeafQuery { leaf, scope: Scope { count, only }, items } in queries {
                    write!(text, "asks {} for {count}", self.names[leaf])?;
                    if let Some(only) = only {
                        write!(text, " of {}", only.join(" "))?;
                    }
                    if let Some(items) = items {
                        let rows = items.iter().map(|(id, weight)| format!("{weight}·{id}"));
                        write!(text, " by rows {}", rows.collect::<Vec<_>>().join(" + "))?;
                    }
                    let members = &shape.leaves[leaf].timed_members;
                    for timeout in members.iter().map(|&member| shape.timeouts[member]) {
                        write!(text, " within {timeout:?}")?;
                    }
                    text.push('\n');
                }
            }
            Step::Done(list) => {
                let items = list.iter().map(|item| format!("{} {:.4}", item.item_id, item.score));
                writeln!(text, "done: {}", items.collect::<Vec<_>>().join(", "))?;
            }
        }
        Ok(text)
    }

    fn leaf(&self, name: &str) -> Result<usize, Box<dyn Error>> {
        Ok(self.names.iter().position(|other| other == name).ok_or(format!("no leaf {name:?}"))?)
    }
}

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let printed = match command.name.as_str() {
            "ensemble" => {
                let text = args.next_pos().ok_or("which?")?;
                let (root, rest) = expression(text)?;
                if !rest.is_empty() {
                    return Err(format!("what is {rest:?}?").into());
                }
                let mut names = Vec::new();
                let shape = EnsembleShape::of(&root, &mut |version| {
                    names.push(version.model.clone());
                    Some(vec![1.0])
                });
                let shape = shape.ok_or("no shape")?;
                let states = vec![LeafState::Open; names.len()];
                *self = Self { names, shape: Some(shape), states, scope: None };
                String::new()
            }
            "ask" => {
                let count = args.take_key("count").ok_or("how many?")?.parse()?;
                let only = args.take_key("only");
                let only = only.map(|ids| ids.split(',').map(String::from).collect());
                self.scope = Some(Scope { count, only });
                self.next()?
            }
            "answer" => {
                let leaf = self.leaf(args.next_pos().ok_or("which leaf?")?)?;
                let mut list = Vec::new();
                while let Some((item_id, score)) = args.next_key() {
                    let (item_id, score) = (item_id.to_owned(), score.parse()?);
                    list.push(Candidate { item_id, score, ..Candidate::default() });
                }
                self.states[leaf] = LeafState::Answered(list);
                self.next()?
            }
            "absent" => {
                let leaf = self.leaf(args.next_pos().ok_or("which leaf?")?)?;
                self.states[leaf] = LeafState::Absent;
                self.next()?
            }
            other => return Err(format!("{other} is no command").into()),
        };
        args.reject_next()?;
        Ok(printed)
    }
}

/// An expression at the beginning of the text, and what follows it.
fn expression(text: &str) -> Result<(EnsembleNode, &str), Box<dyn Error>> {
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some(mut rest) = rest.strip_prefix('(') else {
        return Ok((EnsembleNode::Model(ModelVersion::new(name, 1)), rest));
    };
    let mut members = Vec::new();
    while !rest.starts_with(')') {
        let star = rest.find('*').filter(|&at| rest[..at].parse::<f64>().is_ok());
        let weight = star.map_or(Ok(1.0), |at| rest[..at].parse())?;
        let (node, after) = expression(&rest[star.map_or(0, |at| at + 1)..])?;
        rest = after;
        let mut timeout_ms = None;
        if let Some(after) = rest.strip_prefix('@') {
            let end = after.find([' ', ')']).ok_or("unfinished")?;
            timeout_ms = Some(after[..end].parse()?);
            rest = &after[end..];
        }
        members.push(WeightedNode { node, weight, timeout_ms });
        rest = rest.trim_start();
        if rest.is_empty() {
            return Err("a bracket is missing".into());
        }
    }
    let nodes = || members.iter().map(|member| member.node.clone()).collect();
    let node = match name {
        "rank" => EnsembleNode::Parallel { members, fusion: Fusion::ReciprocalRank },
        "score" => EnsembleNode::Parallel { members, fusion: Fusion::WeightedScore },
        "product" => EnsembleNode::Product { members: nodes(), form: ProductForm::Elementwise },
        "chain" => EnsembleNode::Product { members: nodes(), form: ProductForm::Chain },
        "seq" => EnsembleNode::Sequence(nodes()),
        other => return Err(format!("no node {other:?}").into()),
    };
    Ok((node, &rest[1..]))
}

#[test]
fn scripts() {
    for entry in std::fs::read_dir("src/fusion/evaluate/scripts").expect("the folder of scripts") {
        let path = entry.expect("a readable folder").path();
        goldenscript::run(&mut Runner::default(), &path).expect("the script's own output");
    }
}
