//! Compiles the desktop client's window, for those who build it (feature `gui`).

fn main() {
    #[cfg(feature = "gui")]
    {
        // The widgets are our own; the style is that of the few taken from Slint: scroll bars and lists.
        let config = slint_build::CompilerConfiguration::new()
            .with_style("fluent".into())
            .with_debug_info(cfg!(feature = "gui-testing"));
        if let Err(error) = slint_build::compile_with_config("ui/app.slint", config) {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}
