//! The global `Connect`.

use std::rc::Rc;

use chatnet::text::display_line;
use slint::ComponentHandle;

use super::{sync, tells, tells_of};
use crate::app::App;
use crate::model::{Event, Form, Page, Secret, State, Ui};
use crate::ui;

pub(super) fn connect(app: &Rc<App>) {
    let global = app.window().global::<ui::Connect>();
    let weak = Rc::downgrade(app);
    global.on_connect(move || {
        if let Some(app) = weak.upgrade() {
            let form = form(&app);
            app.handle(Event::Ui(Ui::Connect(form)));
        }
    });
    global.on_cancel(tells_of(app, || Ui::CancelConnect));
    global.on_choose(tells(app, |index| Ui::ChooseServer(usize::try_from(index).unwrap_or(usize::MAX))));
    global.on_forget(tells(app, |index| Ui::ForgetServer(usize::try_from(index).unwrap_or(usize::MAX))));
    global.on_edited(tells(app, |field: slint::SharedString| Ui::FormEdited(field.into())));
    global.on_quit(tells_of(app, || Ui::Quit));
}

/// What was typed.
fn form(app: &App) -> Form {
    let global = app.window().global::<ui::Connect>();
    let secret = |text: slint::SharedString| Secret(text.into());
    Form {
        host: global.get_host().into(),
        port: global.get_port().into(),
        alias: global.get_alias().into(),
        use_account: global.get_use_account(),
        register: global.get_register(),
        invite_code: secret(global.get_invite_code()),
        password: secret(global.get_password()),
        server_password: secret(global.get_server_password()),
        secure: global.get_secure(),
    }
}

pub(super) fn show(app: &App, state: &State) {
    let page = match state.page {
        Page::Connect => ui::Page::Connect,
        Page::Chat => ui::Page::Chat,
    };
    app.window().set_page(page);
    let global = app.window().global::<ui::Connect>();
    let connect = &state.connect;
    if app.models.form.replace(connect.form_changed) != connect.form_changed {
        let form = &connect.form;
        global.set_host((&form.host).into());
        global.set_port((&form.port).into());
        global.set_alias((&form.alias).into());
        global.set_use_account(form.use_account);
        global.set_register(form.register);
        global.set_invite_code((&form.invite_code.0).into());
        global.set_password((&form.password.0).into());
        global.set_server_password((&form.server_password.0).into());
        global.set_secure(form.secure);
    }
    global.set_host_error((&connect.errors.host).into());
    global.set_port_error((&connect.errors.port).into());
    global.set_alias_error((&connect.errors.alias).into());
    global.set_password_error((&connect.errors.password).into());
    global.set_error((&connect.errors.general).into());
    global.set_busy(connect.busy);
    global.set_progress((&connect.progress).into());
    let server = |server: &crate::model::Server| {
        let host = display_line(&server.host);
        let address =
            if host.contains(':') { format!("[{host}]:{}", server.port) } else { format!("{host}:{}", server.port) };
        let alias = display_line(&server.alias).as_ref().into();
        ui::ServerRow { address: address.into(), alias, account: server.account, secure: server.secure }
    };
    sync(&app.models.servers, state.settings.servers.iter().map(server).collect());
}
