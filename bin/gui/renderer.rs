//! What draws the window: the graphics card where there is one, else the processor.

use std::path::{Path, PathBuf};

use slint::{BackendSelector, PlatformError};

/// Who draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renderer {
    /// OpenGL: colour emoji, shadows.
    Femtovg,
    /// The processor alone: everywhere; emoji without colour, no shadows.
    Software,
}

/// Select the renderer, before anything else of Slint is called.
///
/// `SLINT_BACKEND` has the last word. Without it, and without the libraries of OpenGL, Slint's own choice would wait
/// for ever for a first frame.
pub(crate) fn choose() -> Result<Renderer, PlatformError> {
    if let Ok(wish) = std::env::var("SLINT_BACKEND")
        && !wish.is_empty()
    {
        return Ok(if wish.contains("software") { Renderer::Software } else { Renderer::Femtovg });
    }
    let renderer = if has_gl(&library_dirs()) { Renderer::Femtovg } else { Renderer::Software };
    let name = match renderer {
        Renderer::Femtovg => "femtovg",
        Renderer::Software => "software",
    };
    BackendSelector::new().backend_name("winit".into()).renderer_name(name.into()).select()?;
    Ok(renderer)
}

/// Is one of the two ways to OpenGL there?
fn has_gl(dirs: &[PathBuf]) -> bool {
    !cfg!(target_os = "linux")
        || dirs.iter().any(|dir| ["libEGL.so.1", "libGL.so.1"].iter().any(|library| dir.join(library).exists()))
}

/// Where the dynamic linker looks, without asking it: that would need unsafe code.
fn library_dirs() -> Vec<PathBuf> {
    let wished = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&wished).filter(|dir| !dir.as_os_str().is_empty()).collect();
    for root in ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/run/opengl-driver/lib", "/app/lib"] {
        dirs.push(root.into());
        // Debian's are one deeper: x86_64-linux-gnu and the like.
        let inner = Path::new(root).read_dir().into_iter().flatten().flatten();
        dirs.extend(inner.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains("-linux-")));
    }
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_processor_draws_where_no_gl_library_is() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().join("missing"), dir.path().to_path_buf()];
        assert!(!has_gl(&dirs));
        std::fs::write(dir.path().join("libEGL.so.1"), []).unwrap();
        assert!(has_gl(&dirs));
    }
}
