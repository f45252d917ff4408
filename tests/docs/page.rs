//! A page's blocks: its scripts, and what it says that they print.

/// One script of a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    /// The lines between the fences.
    pub(crate) script: String,
    /// What the page says that it prints.
    pub(crate) prints: Option<String>,
    /// Why it is not run.
    pub(crate) not_run: Option<String>,
}

/// The `sh` blocks of a page, each with the output shown below it.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // Whether only empty lines came since the last `sh` block, and the reason of a comment just before.
    let (mut follows_script, mut not_run) = (false, None);
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        if let Some(info) = line.strip_prefix("```") {
            let inside =
                lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
            let text: String = inside.map(|line| format!("{line}\n")).collect();
            let block = blocks.last_mut().filter(|_| follows_script);
            match (info, block) {
                ("sh", _) => {
                    let not_run = not_run.take();
                    blocks.push(Block { line: number + 1, script: text, prints: None, not_run });
                    follows_script = true;
                    continue;
                }
                ("text" | "json", Some(block)) => block.prints = Some(text),
                _ => {}
            }
            follows_script = false;
        } else if let Some(reason) = line.strip_prefix("<!-- not run: ") {
            not_run = Some(reason.trim_end_matches("-->").trim().to_owned());
        } else if !line.is_empty() {
            (follows_script, not_run) = (false, None);
        }
    }
    blocks
}

#[test]
fn blocks_have_scripts_outputs_and_reasons() {
    let page = "# A\n```sh\necho a\n```\n\n```text\na\n```\nwords\n```text\nno output\n```\n\
                <!-- not run: slow -->\n```sh\nsleep 99\n```\nwords\n```json\n{}\n```\n";
    let block = |line, script: &str, prints: Option<&str>, not_run: Option<&str>| Block {
        line,
        script: script.into(),
        prints: prints.map(str::to_owned),
        not_run: not_run.map(str::to_owned),
    };
    let wanted =
        [block(2, "echo a\n", Some("a\n"), None), block(14, "sleep 99\n", None, Some("slow"))];
    assert_eq!(blocks(page), wanted);
}
