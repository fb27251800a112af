//! Which of the installed fonts text and emoji are set in.

use slint::fontique_011::{fontique, shared_collection};

use crate::renderer::Renderer;

/// Text fonts without emoji of their own, best first. A font with a few black-and-white emoji would win over the
/// colour font for just those.
const TEXT: &[&str] =
    &["Inter", "Cantarell", "Noto Sans", "Open Sans", "Roboto", "Ubuntu", "Liberation Sans", "DejaVu Sans"];

/// Emoji in colour: for OpenGL. The software renderer leaves their place blank.
const COLOUR: &[&str] = &["Noto Color Emoji", "Twemoji", "Apple Color Emoji", "Segoe UI Emoji"];

/// Emoji in one colour, as any other letter.
const PLAIN: &[&str] = &["Noto Emoji", "Symbola", "DejaVu Sans"];

/// Where every letter counts: fingerprints.
const MONO: &[&str] = &["JetBrains Mono", "Noto Sans Mono", "Liberation Mono", "DejaVu Sans Mono", "Menlo", "Consolas"];

/// For what else people write in, where the system has it and would not find it by itself.
const OTHERS: &[&str] = &["Noto Sans CJK SC", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari"];

/// Families that the window asks for by name; an empty one is the text's own.
#[derive(Debug, Default)]
pub(crate) struct Families {
    /// For text that is emoji only.
    pub(crate) emoji: &'static str,
    /// For fingerprints.
    pub(crate) mono: &'static str,
}

/// Order the fonts, once the window is made.
pub(crate) fn set_up(renderer: Renderer) -> Families {
    let mut collection = shared_collection();
    let mut installed = |names: &'static [&'static str]| -> Vec<_> {
        names.iter().filter_map(|name| collection.family_id(name).map(|id| (*name, id))).collect()
    };
    let text = installed(TEXT);
    let emoji = installed(if renderer == Renderer::Software { PLAIN } else { COLOUR });
    let (others, mono) = (installed(OTHERS), installed(MONO));
    // The first text font is what is seen; with none of them the system's choice stays.
    if let Some(first) = text.first() {
        let mut order = vec![first.1];
        order.extend(emoji.first().map(|(_, id)| *id));
        order.extend(others.iter().chain(&text[1..]).map(|(_, id)| *id));
        for generic in [fontique::GenericFamily::SansSerif, fontique::GenericFamily::SystemUi] {
            collection.set_generic_families(generic, order.iter().copied());
        }
    }
    let first = |fonts: &[(&'static str, fontique::FamilyId)]| fonts.first().map_or("", |(name, _)| *name);
    Families { emoji: first(&emoji), mono: first(&mono) }
}
